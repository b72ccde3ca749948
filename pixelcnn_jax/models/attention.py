"""Attention over the vertical stack, for context beyond the reach of the filters.

Each pixel reads all pixels of its own row and of the ``REACH - 1`` rows above, as a weighted mean of their values. The
weight of a pixel grows with the product of its key and the query of the pixel that reads. Queries, keys and values are
linear functions, with a bias, of the features of the vertical stack and of an encoding of the position (``positions``).

This is causal without a mask inside a row: the vertical features of a row know only the rows above it. For the same
reason, sampling computes it only once a row, which is cheap. As in ``layers``, what lies above the input is an
argument, the memory. For a whole image it is empty, and in sampling it holds the keys and values of the last rows.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, DTypeLike, Float, Int

from pixelcnn_jax.distributions import accumulation_dtype
from pixelcnn_jax.models.layers import Features, add_bias, one_by_one
from pixelcnn_jax.models.parameters import Kernel, Params, affine, bias
from pixelcnn_jax.models.products import product

REACH = 32  # rows, the pixel's own row included
KEYS, VALUES = 8, 32  # channels
PERIODS = 8.0, 32.0  # of the sines and cosines of a position, in pixels
POSITION = 2 * (1 + 2 * len(PERIODS))  # channels of a position
ROWS = 8  # read at a time, so that no array is [pixels, pixels]


class Memory(NamedTuple):
    """What the next rows read.

    Attributes:
      keys: The keys of the rows above; zero above the image.
      values: Their values, likewise.
      row: The index of the next row. If rows are remembered, this index is an array with an entry for each image. The
        entries are equal, but can be sharded as the keys are.
    """

    keys: Float[Array, "batch remembered width _"]
    values: Float[Array, "batch remembered width _"]
    row: Int[Array | np.ndarray, " #batch"]


def attention_shapes(features: int) -> Params:
    """Declares the parameters of an attention.

    Args:
      features: Number of features of the vertical stack.

    Returns:
      The kernels and biases. The kernel and bias of the output start at zero, so that a new attention changes nothing
      at first.
    """
    return {
        "read": affine((features + POSITION,), (2 * KEYS + VALUES,)),  # query, key and value
        "out": {"kernel": Kernel((VALUES,), (features,), gain=0.0), "bias": bias((features,))},
    }


def no_rows(x: Features, *, remembered: int = 0) -> Memory:
    """Builds the memory above an image.

    Args:
      x: The features that attention is to read; only their batch, width and dtype matter.
      remembered: Number of rows to remember, ``REACH - 1`` if rows come one at a time, and none for a whole image.

    Returns:
      A ``Memory`` of rows above the image, which are never read.
    """
    batch, _, width, _ = x.shape
    keys, values = (jnp.zeros((batch, remembered, width, channels), x.dtype) for channels in (KEYS, VALUES))
    return Memory(keys, values, np.zeros(batch if remembered else 1, np.int32))


def positions(row: Array | np.ndarray, width: int, dtype: DTypeLike) -> Float[Array, "#batch rows width position"]:
    """Encodes places in an image: row and column, and sines and cosines of both.

    Args:
      row: Indices of rows, of shape [batch, rows].
      width: Number of columns.
      dtype: Type of the result.

    Returns:
      Shape [batch, rows, width, position].
    """
    places = jnp.broadcast_arrays(row[..., None], jnp.arange(width))
    scaled = [place.astype(accumulation_dtype(dtype))[..., None] for place in places]
    angles = [2 * math.pi * place / period for place in scaled for period in PERIODS]
    channels = [place / PERIODS[-1] for place in scaled] + [f(angle) for angle in angles for f in (jnp.sin, jnp.cos)]
    return jnp.concatenate(channels, axis=-1).astype(dtype)


def attend(block: Params, x: Features, memory: Memory) -> tuple[Features, Memory]:
    """Adds to the vertical features what they read in the rows up to their own.

    Args:
      block: The parameters of an attention.
      x: New rows of features of the vertical stack, of shape [batch, rows, width, features].
      memory: The rows above, from ``no_rows`` or the call before.

    Returns:
      The features, of the same shape, and the memory of the rows that follow.
    """
    (_, rows, width, features), behind = x.shape, memory.keys.shape[1]
    kernel, exact = block["read"]["kernel"], accumulation_dtype(x.dtype)
    row = memory.row[:, None] + np.arange(-behind, rows, dtype=np.int32)[None]  # of everything in reach
    projected = product(x, kernel[:features]) + product(positions(row[:, behind:], width, x.dtype), kernel[features:])
    query, key, value = jnp.split(add_bias(projected, block["read"]["bias"]), [KEYS, 2 * KEYS], axis=-1)
    query = query / math.sqrt(KEYS)
    keys, values = (jnp.concatenate(pair, axis=1) for pair in ((memory.keys, key), (memory.values, value)))
    means = []
    for first in range(0, rows, ROWS):
        last = first + ROWS
        window = slice(max(0, behind + first + 1 - REACH), behind + last)
        reads, is_read = row[:, behind + first : behind + last, None], row[:, None, window]
        allowed = (is_read <= reads) & (is_read > reads - REACH) & (is_read >= 0)
        scores = jnp.einsum("brwk,bsvk->brwsv", query[:, first:last], keys[:, window], preferred_element_type=exact)
        scores = jnp.where(allowed[:, :, None, :, None], scores, -jnp.inf)
        weights = jax.nn.softmax(scores, axis=(3, 4)).astype(x.dtype)
        means.append(jnp.einsum("brwsv,bsvc->brwc", weights, values[:, window]))
    out = x + one_by_one(block["out"], jnp.concatenate(means, axis=1))
    return out, Memory(keys[:, rows:], values[:, rows:], memory.row + rows)
