"""The train loop and what it keeps on disk."""
