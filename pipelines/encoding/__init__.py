"""Shared by the encoders of text and images: pretrained weights, the model in MLflow, vectors on disk."""
