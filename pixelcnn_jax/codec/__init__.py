"""Lossless compression with a model."""

from pixelcnn_jax.codec.coding import compress, decompress
from pixelcnn_jax.codec.quantise import quantise

__all__ = ["compress", "decompress", "quantise"]
