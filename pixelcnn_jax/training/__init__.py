"""The train loop and its files."""
