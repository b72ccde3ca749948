"""Runs ``python -m pixelcnn_jax.cli``, the same as ``pixelcnn``."""

from pixelcnn_jax.cli import main

main(prog_name="pixelcnn")
