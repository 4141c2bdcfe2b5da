"""Codecs: a codebook (pixel values of each token) and a layout (pixel positions of each token)."""
