"""Network from a set of example images to a map s = m(h) (equation 5)."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pixelcnn_jax.distributions import intensities
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.checks import check_values
from pixelcnn_jax.models.conditioning.encoders import Convolution, PixelShuffle
from pixelcnn_jax.models.inputs import ABSENT, Examples


class SetEncoder(nn.Module):
    """A network from a set of example images to a map, by attention from the positions of the image to the examples.

    The order of the examples does not matter.

    Attributes:
      shape: Height, width and number of channels of the map; the examples have this height and width.
      levels: Number of intensity levels of a sub-pixel.
      max_examples: Largest number of examples.
      features: Number of channels at half and at quarter resolution; the second is also the width of the attention.
      heads: Number of attention heads, a divisor of ``features[1]``.
    """

    shape: tuple[int, int, int]
    levels: int
    max_examples: int = 9
    features: tuple[int, int] = (24, 64)
    heads: int = 4

    @nn.compact
    def __call__(self, examples: Examples) -> Float[Array, "batch height width outputs"]:
        """Computes the maps.

        Args:
          examples: Integers 0 to ``levels - 1`` of shape [batch, examples, height, width, channels]; a set with fewer
            examples is padded with images of -1.

        Returns:
          Maps of shape [batch, height, width, map_features].

        Raises:
          InputError: If there are too many examples, or a size or a value is wrong.
        """
        given, most = examples.shape[1:4], self.max_examples
        if given[0] > most or given[1:] != self.shape[:2]:
            raise InputError(f"h must be at most {most} images of {self.shape[:2]}, got {given}.")
        if len(self.features) != 2 or self.features[1] % self.heads:
            raise InputError(f"features must be two numbers, the second a multiple of heads, got {self.features}.")
        is_absent = (examples.astype(jnp.int32) == ABSENT).all((2, 3, 4), keepdims=True)
        check_values(jnp.where(is_absent, 0, examples), self.levels, name="h")
        (batch, count), image, size = examples.shape[:2], examples.shape[2:], self.features[1]
        x = intensities(jnp.maximum(examples, 0), self.levels).reshape(-1, *image)
        x = jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, 1)), constant_values=1)  # distinguishes padding
        for features in self.features:
            for stride in (2, 1):
                x = nn.silu(Convolution(features, stride)(x))
        rows, columns = (-(-side // 2) for side in self.shape[:2])
        places = x.shape[1] * x.shape[2]
        near = jnp.asarray(position_bias((rows, columns), (x.shape[1], x.shape[2]), self.heads))
        bias = nn.Embed(self.heads, near.shape[1], embedding_init=lambda *_: near, name="position_bias").embedding
        bias = bias.reshape(self.heads, rows * columns, 1 + places)
        # The null token comes first, then the positions of each example.
        where = nn.Embed(1 + places, size, name="positions").embedding
        seen = x.reshape(batch, count, places, size) + where[None, None, 1:]
        token = jnp.broadcast_to(where[None, :1], (batch, 1, size))
        seen = nn.LayerNorm()(jnp.concatenate([token, seen.reshape(batch, count * places, size)], axis=1))
        queries = nn.Embed(rows * columns, size, name="queries").embedding[None]
        split = (self.heads, size // self.heads)
        query, key, value = (
            nn.Dense(size, name=name)(of).reshape(*of.shape[:2], *split)
            for name, of in (("query", queries), ("key", seen), ("value", seen))
        )
        present = jnp.repeat(~is_absent[:, :, 0, 0, 0], places, axis=1, total_repeat_length=count * places)
        attended = jax.nn.dot_product_attention(
            jnp.broadcast_to(query, (batch, *query.shape[1:])),
            key,
            value,
            bias=jnp.concatenate([bias[..., :1], jnp.tile(bias[..., 1:], count)], axis=-1)[None],
            mask=jnp.pad(present, ((0, 0), (1, 0)), constant_values=True)[:, None, None],
        )
        x = nn.LayerNorm()(queries + nn.Dense(size)(attended.reshape(batch, rows * columns, size)))
        x = nn.silu(Convolution(size)(x.reshape(batch, rows, columns, size)))
        return PixelShuffle(self.shape[2])(x)[:, : self.shape[0], : self.shape[1]]

    @nn.nowrap
    def null_condition(self, examples: Examples) -> Examples:
        """Builds the h of "no condition", for classifier-free guidance.

        Args:
          examples: Sets of shape [batch, examples, height, width, channels].

        Returns:
          Sets of the same shape without an example: all values are -1.
        """
        return jnp.full(examples.shape, ABSENT)


def position_bias(
    queries: tuple[int, int], places: tuple[int, int], heads: int
) -> Float[np.ndarray, "heads queries_times_tokens"]:
    """Computes the initial attention bias: -d^2 / 2 at distance d, and half as much for each further head."""
    at, to = (np.indices(grid).reshape(2, -1).T for grid in (queries, places))
    centres = (at + 0.5) * np.array(places) / np.array(queries) - 0.5
    bias = -0.5 * np.sum((centres[:, None] - to[None]) ** 2, axis=-1)
    bias = np.pad(bias, ((0, 0), (1, 0)))[None] * 0.5 ** np.arange(heads)[:, None, None]
    return bias.reshape(heads, -1).astype(np.float32)
