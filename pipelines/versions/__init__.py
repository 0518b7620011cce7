"""Two versions of one space side by side: what changed between them, and reading one in the space of the other."""
