"""Data sets as integer images."""
