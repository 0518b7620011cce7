"""Related products of a product that is not in the catalogue, by the encoders of the live release."""
