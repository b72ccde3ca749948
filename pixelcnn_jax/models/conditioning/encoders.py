"""Convolutional encoders and decoders around a PixelCNN; nothing is masked."""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from pixelcnn_jax.distributions import intensities
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.checks import check_values
from pixelcnn_jax.models.inputs import Images, Vector
from pixelcnn_jax.models.layers import add_bias
from pixelcnn_jax.models.products import window_product


class Convolution(nn.Module):
    """A 3x3 convolution with zero padding; it is faster than Flax's on a CPU.

    Attributes:
      features: Number of output channels.
      stride: Stride in rows and columns.
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
    """A sub-pixel convolution, which doubles height and width (Shi et al. 2016).

    Attributes:
      features: Number of output channels.
    """

    features: int

    @nn.compact
    def __call__(self, x: Float[Array, "batch height width inputs"]) -> Float[Array, "batch rows columns features"]:
        return join_squares(Convolution(4 * self.features)(x), 2)


def join_squares(x: Float[Array, "batch rows columns _"], size: int) -> Float[Array, "batch height width channels"]:
    """Makes a square of ``size`` x ``size`` pixels of each vector."""
    batch, rows, columns, numbers = x.shape
    blocks = x.reshape(batch, rows, columns, size, size, numbers // size**2)
    return jnp.moveaxis(blocks, 3, 2).reshape(batch, rows * size, columns * size, -1)


def normalised_groups(features: int) -> int:
    """Chooses the number of GroupNorm groups: at most 8, of at least 4 channels."""
    return max(count for count in (1, 2, 4, 8) if count == 1 or (features % count == 0 and features >= 4 * count))


class Encoder(nn.Module):
    """A convolutional encoder from an image to a vector (1606.05328, section 2.4).

    It computes no map, so it cannot be the conditioner of a ``ConditionalModel``. Call it yourself, and pass its output
    to the network as h.

    Attributes:
      outputs: Length of the vector.
      levels: Number of intensity levels of a sub-pixel.
      features: Number of channels of each stage; each stage halves height and width.
    """

    outputs: int
    levels: int
    features: tuple[int, ...] = (32, 64, 128)

    @nn.compact
    def __call__(self, images: Images) -> Float[Array, "batch outputs"]:
        """Computes the vectors.

        Args:
          images: Integers 0 to ``levels - 1`` of shape [batch, height, width, channels].

        Returns:
          Vectors of shape [batch, outputs].
        """
        check_values(images, self.levels)
        x = intensities(images, self.levels)
        for features in self.features:
            for stride in (2, 1):
                x = Convolution(features, stride)(x)
                # The fast variance, E[x^2] - E[x]^2, cancels where a group hardly varies.
                x = nn.silu(nn.GroupNorm(normalised_groups(features), use_fast_variance=False)(x))
        return nn.Dense(self.outputs)(x.reshape(len(x), -1))


class Deconvolution(nn.Module):
    """A deconvolutional network that computes a map s from a vector h (m in equation 5 of 1606.05328).

    Use it as the conditioner of a ``ConditionalModel`` if the vectors say where things are in the image.

    Attributes:
      shape: Height, width and number of channels of the map; height and width are those of the images.
      features: Number of channels of each stage; each stage doubles height and width.
    """

    shape: tuple[int, int, int]
    features: tuple[int, ...] = (64, 32)

    @nn.compact
    def __call__(self, h: Vector) -> Float[Array, "batch height width outputs"]:
        """Computes the maps.

        Args:
          h: Vectors of shape [batch, condition].

        Returns:
          Maps of shape [batch, height, width, map_features].

        Raises:
          InputError: If h are not vectors, or there are too many stages: 2**stages must be at most 4 times the longer
            side of the map.
        """
        height, width, outputs = self.shape
        scale = 2 ** len(self.features)
        if jnp.ndim(h) < 2:
            raise InputError("h must be vectors [batch, condition]: for class labels, jax.nn.one_hot(labels, classes).")
        if scale > 4 * max(height, width):
            raise InputError(f"features must have fewer stages for {height}x{width} pixels, got {len(self.features)}.")
        rows, columns = -(-height // scale), -(-width // scale)
        x = nn.Dense(rows * columns * self.features[0])(h).reshape(-1, rows, columns, self.features[0])
        for features in self.features:
            x = PixelShuffle(features)(nn.silu(x))
        return Convolution(outputs)(nn.silu(x))[:, :height, :width]

    @nn.nowrap
    def null_condition(self, h: Vector) -> Vector:
        """Builds the h of "no condition", for classifier-free guidance.

        Args:
          h: Vectors of shape [batch, condition].

        Returns:
          Zeros of the same shape.
        """
        return jnp.zeros_like(h)


class Upsampling(nn.Module):
    """A network from a small image to a map of twice its height and width (the multi-scale PixelRNN, 1601.06759).

    Attributes:
      outputs: Number of channels of the map.
      levels: Number of intensity levels of a sub-pixel.
      layers: Number of convolutions before the upsampling.
    """

    outputs: int
    levels: int
    layers: int = 3

    @nn.compact
    def __call__(self, images: Images) -> Float[Array, "batch twice_height twice_width outputs"]:
        """Computes the maps.

        Args:
          images: Small images, integers 0 to ``levels - 1`` of shape [batch, height, width, channels].

        Returns:
          Maps of shape [batch, 2 * height, 2 * width, outputs].

        Raises:
          InputError: If a value is out of range.
        """
        check_values(images, self.levels, name="h")
        x = intensities(images, self.levels)
        x = jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, 1)), constant_values=1)  # distinguishes padding
        for _ in range(self.layers):
            x = nn.silu(Convolution(self.outputs)(x))
        return PixelShuffle(self.outputs)(x)
