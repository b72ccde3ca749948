"""Networks, layers, and their streams for cached sampling."""
