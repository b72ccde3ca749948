"""The networks around a PixelCNN: what turns an image into a vector h, and a vector h into an image or a map s.

None of them is autoregressive, so nothing in them is masked.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pixelcnn_jax.inputs import Images, Vector


class Encoder(nn.Module):
    """Convolutional encoder: image to vector, section 2.4's encoder, an embedding network's trunk, a classifier.

    Each stage halves the map and convolves it once more; what is left of it is read by one matrix.

    Attributes:
      outputs: numbers in the vector.
      levels: values of a sub-pixel.
      features: feature maps of each stage.
    """

    outputs: int
    levels: int
    features: tuple[int, ...] = (32, 64, 128)

    @nn.compact
    def __call__(self, images: Images) -> Float[Array, "batch outputs"]:
        """Vectors of images [batch, height, width, channels] of integers."""
        x = images.astype(jnp.float32) * (2 / (self.levels - 1)) - 1
        for features in self.features:
            for stride in (2, 1):
                x = nn.Conv(features, (3, 3), (stride, stride))(x)
                x = nn.silu(nn.GroupNorm(math.gcd(8, features))(x))
        return nn.Dense(self.outputs)(x.reshape(len(x), -1))


class Deconvolution(nn.Module):
    """Deconvolutional network: vector to map, the m of s = m(h) (equation 5), or the decoder that section 3.4 compares.

    Attributes:
      shape: height, width and features of the map, of any size.
      features: feature maps of each stage; each doubles the map.
    """

    shape: tuple[int, int, int]
    features: tuple[int, ...] = (64, 32)

    @nn.compact
    def __call__(self, h: Vector) -> Float[Array, "batch height width outputs"]:
        """Maps [batch, height, width, features] of vectors [batch, condition]."""
        height, width, outputs = self.shape
        scale = 2 ** len(self.features)
        rows, columns = -(-height // scale), -(-width // scale)
        x = nn.Dense(rows * columns * self.features[0])(h).reshape(-1, rows, columns, self.features[0])
        for features in self.features:
            x = nn.ConvTranspose(features, (4, 4), (2, 2))(nn.silu(x))
        return nn.Conv(outputs, (3, 3))(nn.silu(x))[:, :height, :width]


def on_unit_sphere(x: Float[Array, "batch features"]) -> Float[Array, "batch features"]:
    """Vectors of length one."""
    return x * jax.lax.rsqrt(jnp.sum(x**2, axis=1, keepdims=True) + 1e-12)


def squared_distances(
    a: Float[Array, "first features"], b: Float[Array, "second features"]
) -> Float[Array, "first second"]:
    """Between all pairs of vectors on the unit sphere, 0 to 4."""
    return 2 - 2 * a @ b.T
