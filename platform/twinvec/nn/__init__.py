"""Tensors in, tensors out: models, losses, samplers and the training loop, without settings or stores."""
