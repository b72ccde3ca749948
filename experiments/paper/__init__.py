"""The experiments of the paper, and the multi-scale network of its predecessor."""
