"""The training loop and exact inference for graph encoders."""
