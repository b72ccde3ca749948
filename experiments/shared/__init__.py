"""Code shared by experiments."""
