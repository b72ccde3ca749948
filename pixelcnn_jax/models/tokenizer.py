"""The tokenizer: images to maps of codes and back, by finite scalar quantisation (FSQ, 2309.15505).

A code is a number of a few digits, each of them a rounded output of the encoder, so there is no codebook to learn and
none that could collapse. The gradient of rounding is taken to be 1.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from pixelcnn_jax.distributions import intensities
from pixelcnn_jax.models.conditioning.encoders import Convolution
from pixelcnn_jax.models.inputs import Images

Codes = Int[Array, "batch rows columns 1"]
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
    """An auto-encoder whose hidden layer is a map of codes, which a ``Network`` of as many levels can model.

    A Linen module. A call computes reconstructions for training. The encoder reads the square of a code and the squares
    around it, so a hidden part of an image changes the codes of that part and those beside it alone. The decoder reads
    further.

    Attributes:
      levels: Number of intensity levels of a sub-pixel.
      channels: Number of channels of a pixel.
      factor: Height and width of the square of pixels that a code stands for.
      digits: Number of values of each digit of a code. Their product is the number of codes.
      features: Number of channels of the layers.
      blocks: Number of residual blocks of the encoder, and of the decoder.
    """

    levels: int = 256
    channels: int = 3
    factor: int = 4
    digits: tuple[int, ...] = (8, 8, 8)
    features: int = 96
    blocks: int = 3

    def setup(self) -> None:
        ends = [Convolution(self.features) for _ in range(2)]
        inner, outer = ([Residual(self.features, wide) for _ in range(self.blocks)] for wide in (False, True))
        self.encoder = nn.Sequential([ends[0], *inner, nn.RMSNorm(), nn.Dense(len(self.digits))])
        self.decoder = nn.Sequential([ends[1], *outer, nn.RMSNorm(), Convolution(self.factor**2 * self.channels)])

    @property
    def codes(self) -> int:
        """Number of different codes."""
        return math.prod(self.digits)

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
          Integers 0 to ``codes - 1`` of shape [batch, height / factor, width / factor, 1].
        """
        digits = jnp.round(self._unrounded(images)).astype(jnp.int32)
        return jnp.sum(digits * self._radix()[1], axis=-1, keepdims=True)

    def decode(self, codes: Codes) -> Images:
        """Computes the images that codes stand for.

        Args:
          codes: Integers 0 to ``codes - 1`` of shape [batch, rows, columns, 1].

        Returns:
          Integers 0 to ``levels - 1`` of shape [batch, factor * rows, factor * columns, channels].
        """
        intensities = self._reconstructed(self.digits_of(codes).astype(jnp.float32))
        top = self.levels - 1
        return jnp.clip(jnp.round((intensities + 1) * (top / 2)), 0, top).astype(jnp.int32)

    @nn.nowrap
    def digits_of(self, codes: Codes) -> Int[Array, "batch rows columns digits"]:
        """Splits codes into their digits.

        Args:
          codes: Integers 0 to ``codes - 1`` of shape [batch, rows, columns, 1].

        Returns:
          The digits of each code, the first one being the least.
        """
        counts, places = self._radix()
        return codes // places % counts

    @nn.nowrap
    def _radix(self) -> tuple[Int[np.ndarray, "1 1 1 digits"], Int[np.ndarray, "1 1 1 digits"]]:
        """Computes the number of values of each digit, and what a digit counts for."""
        counts = np.array(self.digits, np.int32).reshape(1, 1, 1, -1)
        return counts, np.cumprod([1, *self.digits[:-1]], dtype=np.int32).reshape(counts.shape)

    def _unrounded(self, images: Images) -> Float[Array, "batch rows columns digits"]:
        x = self.encoder(squares(intensities(images, self.levels), self.factor))
        # Of normal x this sigmoid is about uniform, so that all values of a digit are in use; a tanh prefers the ends.
        return jax.nn.sigmoid(1.6 * x) * (self._radix()[0] - 1)

    def _reconstructed(self, digits: Maps) -> Float[Array, "batch height width channels"]:
        x = self.decoder(digits * (2 / (self._radix()[0] - 1)).astype(np.float32) - 1)
        batch, rows, columns, _ = x.shape
        blocks = x.reshape(batch, rows, columns, self.factor, self.factor, self.channels)
        return jnp.moveaxis(blocks, 3, 2).reshape(batch, rows * self.factor, columns * self.factor, self.channels)


def squares(x: Shaped[Array, "batch height width channels"], size: int) -> Shaped[Array, "batch rows columns numbers"]:
    """Cuts images into adjacent squares, each of them a vector."""
    batch, height, width, channels = x.shape
    cut = x.reshape(batch, height // size, size, width // size, size, channels)
    return jnp.moveaxis(cut, 2, 3).reshape(batch, height // size, width // size, -1)
