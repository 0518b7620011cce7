"""A later snapshot embedded with the models of the live release: nothing is trained."""
