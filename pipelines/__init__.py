"""The training pipelines, a package each, and the road that runs them in order."""
