"""Training a graph encoder: the loop, the margin loss, and exact inference; shared by all graph pipelines."""
