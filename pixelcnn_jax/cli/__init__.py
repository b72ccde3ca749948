"""The command ``pixelcnn``: what a trained model is used for. Training is ``python -m experiments.train``."""

from pixelcnn_jax.cli.command import main

__all__ = ["main"]
