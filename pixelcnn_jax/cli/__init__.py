"""The command ``pixelcnn``, for trained models."""

from pixelcnn_jax.cli.command import main

__all__ = ["main"]
