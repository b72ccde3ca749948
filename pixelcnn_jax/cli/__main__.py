"""Runs ``pixelcnn`` as ``python -m pixelcnn_jax.cli``."""

from pixelcnn_jax.cli import main

main()
