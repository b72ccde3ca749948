"""Experiments that the paper does not have: its future work, codes, colours, and a classifier that judges samples."""
