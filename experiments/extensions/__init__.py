"""Experiments beyond the paper: future work, codes, colours and a classifier."""
