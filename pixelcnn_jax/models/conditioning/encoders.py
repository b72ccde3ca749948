"""Convolutional encoders and decoders around a PixelCNN; nothing is masked."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from pixelcnn_jax.distributions import intensities
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.inputs import Images, Vector, check_values
from pixelcnn_jax.models.layers import add_bias
from pixelcnn_jax.models.products import window_product


class Convolution(nn.Module):
    """3x3 convolution with zero padding; faster than Flax's on CPU.

    Attributes:
      features: output channels.
      stride: stride in rows and columns.
    """

    features: int
    stride: int = 1

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width inputs"]) -> Float[Array, "batch rows columns features"]:
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (3, 3, x.shape[-1], self.features))
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        window = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        return add_bias(window_product(window, kernel, stride=self.stride), bias)


class PixelShuffle(nn.Module):
    """Sub-pixel convolution that doubles height and width (Shi et al. 2016).

    Attributes:
      features: output channels.
    """

    features: int

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width inputs"]) -> Float[Array, "batch rows columns features"]:
        batch, height, width, _ = x.shape
        blocks = Convolution(4 * self.features)(x).reshape(batch, height, width, 2, 2, self.features)
        return jnp.moveaxis(blocks, 3, 2).reshape(batch, 2 * height, 2 * width, self.features)


def normalised_groups(features: int) -> int:
    """Chooses the number of GroupNorm groups: at most 8, of at least 4 channels."""
    return max(count for count in (1, 2, 4, 8) if count == 1 or (features % count == 0 and features >= 4 * count))


class Encoder(nn.Module):
    """Convolutional encoder from an image to a vector (section 2.4).

    Attributes:
      outputs: length of the vector.
      levels: number of intensity levels.
      features: channels of each stage; each halves the resolution.
    """

    outputs: int
    levels: int
    features: tuple[int, ...] = (32, 64, 128)

    @nn.compact
    def __call__(self, images: Images) -> Float[Array, "batch outputs"]:
        x = intensities(images, self.levels)
        for features in self.features:
            for stride in (2, 1):
                x = Convolution(features, stride)(x)
                # The fast variance, E[x^2] - E[x]^2, cancels where a group hardly varies.
                x = nn.silu(nn.GroupNorm(normalised_groups(features), use_fast_variance=False)(x))
        return nn.Dense(self.outputs)(x.reshape(len(x), -1))


class Deconvolution(nn.Module):
    """Deconvolutional network from a vector to a map: m of s = m(h) (equation 5).

    Attributes:
      shape: height, width and channels of the map.
      features: channels of each stage; each doubles the resolution.
    """

    shape: tuple[int, int, int]
    features: tuple[int, ...] = (64, 32)

    @nn.compact
    def __call__(self, h: Vector) -> Float[Array, "batch height width outputs"]:
        height, width, outputs = self.shape
        scale = 2 ** len(self.features)
        if scale > 4 * max(height, width):
            raise InputError(f"features must be stages up to {height}x{width} pixels, got {len(self.features)}.")
        rows, columns = -(-height // scale), -(-width // scale)
        x = nn.Dense(rows * columns * self.features[0])(h).reshape(-1, rows, columns, self.features[0])
        for features in self.features:
            x = PixelShuffle(features)(nn.silu(x))
        return Convolution(outputs)(nn.silu(x))[:, :height, :width]

    @nn.nowrap
    def null_condition(self, h: Vector) -> Vector:
        """Builds the null condition: zeros."""
        return jnp.zeros_like(h)


class Upsampling(nn.Module):
    """Network from a small image to s of twice its size (multi-scale, 1601.06759).

    Attributes:
      outputs: channels of s.
      levels: number of intensity levels.
      layers: number of convolutions before upsampling.
    """

    outputs: int
    levels: int
    layers: int = 3

    @nn.compact
    def __call__(self, images: Images) -> Float[Array, "batch twice_height twice_width outputs"]:
        check_values(images, self.levels, name="h")
        x = intensities(images, self.levels)
        x = jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, 1)), constant_values=1)  # distinguishes padding
        for _ in range(self.layers):
            x = nn.silu(Convolution(self.outputs)(x))
        return PixelShuffle(self.outputs)(x)
