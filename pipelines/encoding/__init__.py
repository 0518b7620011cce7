"""What the encoders of text and images share: pretrained weights, the model in MLflow, vectors on disk."""
