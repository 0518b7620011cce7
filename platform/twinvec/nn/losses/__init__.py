"""Training objectives: margin and softmax losses over sampled pairs."""
