"""Models, one a module."""
