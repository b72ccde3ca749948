"""The network from a set of example images to a map s: m of s = m(h) (equation 5), h being the examples.

It is a module of its own because its input is a set: of any number of images, none included, in any order.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, DTypeLike, Float

from pixelcnn_jax.distributions import intensities
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.conditioning.encoders import Convolution, PixelShuffle
from pixelcnn_jax.models.inputs import ABSENT, Examples, check_values


class SetEncoder(nn.Module):
    """Network from the examples of an image to a map s: attention over what they show, blind to their order.

    Convolutions halve each example twice. Every place of a map of half the image's size attends to all places of all
    examples and to a learned token, which is alone if the set is empty. An enlargement gives each pixel its features.

    Attributes:
      shape: height, width and feature maps of s; the examples have this height and width.
      levels: number of values of a sub-pixel.
      max_examples: largest number of examples.
      features: feature maps of an example at half and at a quarter of its size; the second is the attention's width.
      heads: number of attention heads.
    """

    shape: tuple[int, int, int]
    levels: int
    max_examples: int = 9
    features: tuple[int, int] = (24, 64)
    heads: int = 4

    @nn.compact
    def __call__(self, examples: Examples) -> Float[Array, "batch height width outputs"]:
        if examples.shape[1] > self.max_examples or examples.shape[2:4] != self.shape[:2]:
            raise InputError(
                f"h must be at most {self.max_examples} images of {self.shape[:2]}, got {examples.shape[1:4]}."
            )
        check_values(jnp.maximum(examples, 0), self.levels, name="h")
        (batch, count), image, size = examples.shape[:2], examples.shape[2:], self.features[1]
        x = intensities(jnp.maximum(examples, 0), self.levels).reshape(-1, *image)
        x = jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, 1)), constant_values=1)  # distinguishes the image from zero padding
        for features in self.features:
            for stride in (2, 1):
                x = nn.silu(Convolution(features, stride)(x))
        rows, columns = (-(-side // 2) for side in self.shape[:2])
        places = x.shape[1] * x.shape[2]

        def near(_: Array, shape: tuple[int, ...], dtype: DTypeLike) -> Array:
            if not self.is_initializing():  # the size of trained parameters is compared, which costs nothing
                return jnp.zeros(shape, dtype)
            return jnp.asarray(position_bias((rows, columns), (x.shape[1], x.shape[2]), self.heads))

        biases = rows * columns * (1 + places)
        bias = nn.Embed(self.heads, biases, embedding_init=near, name="position_bias").embedding
        bias = bias.reshape(self.heads, rows * columns, 1 + places)
        # The token comes first, then the places of each example. They differ by a learned vector for each.
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
        present = jnp.repeat(examples[:, :, 0, 0, 0] >= 0, places, axis=1, total_repeat_length=count * places)
        attended = jax.nn.dot_product_attention(
            jnp.broadcast_to(query, (batch, *query.shape[1:])),
            key,
            value,
            bias=jnp.concatenate([bias[..., :1], jnp.tile(bias[..., 1:], count)], axis=-1)[None],
            mask=jnp.pad(present, ((0, 0), (1, 0)), constant_values=True)[:, None, None],
        )
        maps = nn.LayerNorm()(queries + nn.Dense(size)(attended.reshape(batch, rows * columns, size)))
        maps = nn.silu(Convolution(size)(maps.reshape(batch, rows, columns, size)))
        return PixelShuffle(self.shape[2])(maps)[:, : self.shape[0], : self.shape[1]]

    @nn.nowrap
    def null_condition(self, examples: Examples) -> Examples:
        """Returns sets without an example, which stands for "no condition"."""
        return jnp.full(examples.shape, ABSENT)


def position_bias(
    queries: tuple[int, int], places: tuple[int, int], heads: int
) -> Float[np.ndarray, "heads queries_times_tokens"]:
    """Returns the initial bias of attention: -d^2 / 2 for places d apart, half of it in each further head.

    A head thus begins near or wide, and not with the mean over all places. The token's bias, the first, is zero.
    """
    at, to = (
        np.stack(np.meshgrid(*map(np.arange, grid), indexing="ij"), axis=-1).reshape(-1, 2)
        for grid in (queries, places)
    )
    centres = (at + 0.5) * np.array(places) / np.array(queries) - 0.5
    bias = -0.5 * np.sum((centres[:, None] - to[None]) ** 2, axis=-1)
    bias = np.pad(bias, ((0, 0), (1, 0)))[None] * 0.5 ** np.arange(heads)[:, None, None]
    return bias.reshape(heads, -1).astype(np.float32)
