"""The tokenizer: images to maps of codes and back, by finite scalar quantisation (FSQ, 2309.15505).

A code is a few digits, each of them a rounded output of the encoder, so there is no codebook to learn and none that
could collapse. The gradient of rounding is taken to be 1. A map of codes is an image whose channels are the digits. A
``Network`` models it like any other image, and learns it from few images, because digits that differ little mean
similar things.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from pixelcnn_jax.distributions import intensities
from pixelcnn_jax.models.checks import check_values
from pixelcnn_jax.models.conditioning.encoders import Convolution, join_squares
from pixelcnn_jax.models.inputs import Images

Codes = Int[Array, "batch rows columns digits"]
Maps = Float[Array, "batch rows columns features"]


class Residual(nn.Module):
    """A residual block of two layers, normalised at each place alone, so that no distant pixel has an influence.

    Attributes:
      features: Number of channels.
      reads_neighbours: Whether the first layer is a 3x3 convolution; otherwise it is 1x1, as the second one is.
    """

    features: int
    reads_neighbours: bool

    @nn.compact
    def __call__(self, x: Maps) -> Maps:
        layer = Convolution if self.reads_neighbours else nn.Dense
        hidden = nn.silu(layer(self.features)(nn.RMSNorm()(x)))
        return x + nn.Dense(self.features, kernel_init=nn.initializers.zeros_init())(hidden)


class Tokenizer(nn.Module):
    """An auto-encoder whose hidden layer is a map of codes, which a ``Network`` can model.

    This is a Linen module. A call computes reconstructions for training. The encoder reads the square of a code and the
    squares around it, so hiding a part of an image changes only the codes of that part and of the
    squares next to it. The decoder reads further.

    Attributes:
      levels: Number of intensity levels of a sub-pixel.
      channels: Number of channels of a pixel.
      factor: Height and width of the square of pixels that a code stands for.
      digits: Number of digits of a code, the channels of a map of codes.
      values: Number of values of a digit, the levels of a map of codes.
      features: Number of channels of the layers.
      blocks: Number of residual blocks of the encoder, and of the decoder.
    """

    levels: int = 256
    channels: int = 3
    factor: int = 4
    digits: int = 3
    values: int = 8
    features: int = 96
    blocks: int = 3

    def setup(self) -> None:
        ends = [Convolution(self.features) for _ in range(2)]
        inner, outer = ([Residual(self.features, wide) for _ in range(self.blocks)] for wide in (False, True))
        self.encoder = nn.Sequential([ends[0], *inner, nn.RMSNorm(), nn.Dense(self.digits)])
        self.decoder = nn.Sequential([ends[1], *outer, nn.RMSNorm(), Convolution(self.factor**2 * self.channels)])

    def __call__(self, images: Images) -> Float[Array, "batch height width channels"]:
        """Computes reconstructions.

        Args:
          images: Integers 0 to ``levels - 1`` of shape [batch, height, width, channels]; ``factor`` divides height and
            width.

        Returns:
          Intensities, of which -1 is level 0 and 1 is the highest, of the shape of the images.
        """
        x = self._unrounded(images)
        return self._reconstructed(x + jax.lax.stop_gradient(jnp.round(x) - x))

    def encode(self, images: Images) -> Codes:
        """Computes the codes of images.

        Args:
          images: Images as in a call.

        Returns:
          Integers 0 to ``values - 1`` of shape [batch, height / factor, width / factor, digits].
        """
        return jnp.round(self._unrounded(images)).astype(jnp.int32)

    def decode(self, codes: Codes) -> Images:
        """Computes the images that codes stand for.

        Args:
          codes: Integers 0 to ``values - 1`` of shape [batch, rows, columns, digits].

        Returns:
          Integers 0 to ``levels - 1`` of shape [batch, factor * rows, factor * columns, channels].
        """
        x = self._reconstructed(codes.astype(jnp.float32))
        top = self.levels - 1
        return jnp.clip(jnp.round((x + 1) * (top / 2)), 0, top).astype(jnp.int32)

    def _unrounded(self, images: Images) -> Float[Array, "batch rows columns digits"]:
        check_values(images, self.levels)
        x = self.encoder(squares(intensities(images, self.levels), self.factor))
        # If x is normally distributed, this sigmoid of it is about uniformly distributed, so that all values of a digit
        # are in use. A tanh prefers the ends.
        return jax.nn.sigmoid(1.6 * x) * (self.values - 1)

    def _reconstructed(self, digits: Maps) -> Float[Array, "batch height width channels"]:
        return join_squares(self.decoder(digits * (2 / (self.values - 1)) - 1), self.factor)


def squares(x: Shaped[Array, "batch height width channels"], size: int) -> Shaped[Array, "batch rows columns numbers"]:
    """Cuts images into adjacent squares, each of them a vector."""
    batch, height, width, channels = x.shape
    cut = x.reshape(batch, height // size, size, width // size, size, channels)
    return jnp.moveaxis(cut, 2, 3).reshape(batch, height // size, width // size, -1)
