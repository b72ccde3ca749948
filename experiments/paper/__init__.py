"""Experiments of 1606.05328, and the multi-scale network of 1601.06759."""
