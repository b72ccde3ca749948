"""Lossless compression with a model."""

from pixelcnn_jax.codec.coding import compress, decompress

__all__ = ["compress", "decompress"]
