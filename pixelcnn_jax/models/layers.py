"""The operations of a Gated PixelCNN, as functions of arrays; its predecessors share some of them.

No operation masks pixels, and none pads in the direction in which it is causal: each reads a *window*. A vertical one
reads its own row and the rows above, a horizontal one its own column and the columns to the left. The caller passes the
rows or columns before the first as a *memory*. With zeros and the whole image, these are the layers of training. With
the remembered rows and one new row, or the remembered columns and one new pixel, they are those of cached sampling.

Shapes are written as in ``Float[Array, "batch height width features"]``. A *gate pair* is the axis of size two that
holds the tanh half and the sigmoid half of a gated unit. Over whole images it is *joined* with the features to one
axis, all tanh halves first: accelerators store the last two axes in tiles, and rearrange a pair more often than they
compute with it. *gates* stands for either form.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float, Key

from pixelcnn_jax.foundation.devices import random_words
from pixelcnn_jax.models.inputs import Condition
from pixelcnn_jax.models.parameters import Params
from pixelcnn_jax.models.products import product, window_product

Dropout = Callable[[Array], Array]
SUMS = "sums of a layer"  # the name of what enters the gates, for checkpoint policies


def shift_down(x: Float[Array, "batch height width features"]) -> Float[Array, "batch height width features"]:
    """Moves every row down by one; the first becomes zero. Applied once, it makes a vertical stack strictly causal."""
    return jnp.pad(x, ((0, 0), (1, 0), (0, 0), (0, 0)))[:, :-1]


def taps_above(
    kernel: Float[Array, "kernel_rows kernel_columns features *out"], rows: Float[Array, "batch rows width features"]
) -> Float[Array, "batch new_rows width *out"]:
    """Convolves rows, zero-padded left and right. ``rows`` begins ``kernel_rows - 1`` above the first result."""
    border = kernel.shape[1] // 2
    return window_product(jnp.pad(rows, ((0, 0), (0, 0), (border, border), (0, 0))), kernel)


def rows_above(
    kernel: Float[Array, "kernel_rows kernel_columns features *out"],
    x: Float[Array, "batch rows width features"],
    memory: Float[Array, "batch remembered width features"],
) -> tuple[Float[Array, "batch rows width *out"], Float[Array, "batch remembered width features"]]:
    """Convolves each row with the ``kernel_rows - 1`` rows above it: the shifted (n/2 x n) convolution.

    Returns the product and the rows that the next call needs as ``memory``, the rows above ``x``.
    """
    window = jnp.concatenate([memory, x], axis=1)
    return taps_above(kernel, window), window[:, x.shape[1] :]


def rows_border(layer: Params, x: Float[Array, "batch _ width _"]) -> Float[Array, "batch rows width features"]:
    """Returns the memory above the first row of an image: zeros as wide as ``x``, one row for each remembered."""
    rows, _, inputs, *_ = layer["vertical"]["kernel"].shape
    return jnp.zeros((x.shape[0], rows - 1, x.shape[2], inputs), x.dtype)


def columns_left(
    kernel: Float[Array, "kernel_columns features *out"], x: Float[Array, "batch height columns features"]
) -> Float[Array, "batch height new_columns *out"]:
    """Convolves the columns left of a pixel, without the pixel: the shifted (1 x n/2) convolution.

    Position j of the result reads columns j to j + kernel_columns - 1 of ``x``: ``x`` starts ``kernel_columns`` before
    the first pixel wanted and ends one before the last.
    """
    return window_product(x, kernel[None])


def rows_left(
    kernel: Float[Array, "kernel_columns features *out"], x: Float[Array, "batch height width features"]
) -> Float[Array, "batch height width *out"]:
    """Convolves the columns left of every pixel of whole rows, with zeros to the left of the first column."""
    return columns_left(kernel, jnp.pad(x, ((0, 0), (0, 0), (kernel.shape[0], 0), (0, 0)))[:, :, :-1])


def add_bias(x: Float[Array, "batch height width *out"], bias: Float[Array, "*out"]) -> Float[Array, "..."]:
    """Adds a bias to every position."""
    return x + bias[None, None, None]


def append(earlier: Array | None, new: Array) -> Array:
    """Appends the features of a colour to those of earlier colours, if there are any."""
    return new if earlier is None else jnp.concatenate([earlier, new], axis=-1)


def one_by_one(
    layer: Params, x: Float[Array, "batch height width inputs"]
) -> Float[Array, "batch height width *outputs"]:
    """Returns a 1x1 convolution."""
    return add_bias(product(x, layer["kernel"]), layer["bias"])


def gate(x: Float[Array, "batch height width *gates"]) -> Float[Array, "batch height width features"]:
    """Returns the gated activation unit, tanh(W_f x) * sigmoid(W_g x): equation 2.

    A single tanh over both halves, with sigmoid(x) = (1 + tanh(x / 2)) / 2, makes sampling on CPU 2 to 4 % faster but
    the training step 10 % slower (``docs/benchmarks.md``).
    """
    tanh_half, sigmoid_half = (x[..., 0, :], x[..., 1, :]) if x.ndim == 5 else jnp.split(x, 2, axis=-1)
    return jnp.tanh(tanh_half) * jax.nn.sigmoid(sigmoid_half)


def dropout(
    key: Key[Array, ""], rate: float, x: Float[Array, "batch height width features"]
) -> Float[Array, "batch height width features"]:
    """Zeroes a fraction ``rate`` of the features, at least 1/256 and in steps of it, and scales the rest to the mean.

    One random byte per feature, instead of a word, decides: on CPU the generator would otherwise cost as much as the
    layer.
    """
    dropped = max(1, round(rate * 256))
    words = random_words(key, (*x.shape[:3], -(-x.shape[3] // 4)))
    chances = jax.lax.bitcast_convert_type(words, jnp.uint8).reshape(*x.shape[:3], -1)[..., : x.shape[3]]
    return jnp.where(chances >= dropped, x * (256 / (256 - dropped)), jnp.zeros_like(x))


def condition_terms(
    layer: Params, stack: str, condition: Condition, *, precision: jax.lax.Precision | None = None
) -> Float[Array, "#batch #height #width *features"] | float:
    """Returns V h plus V s for one stack of a layer (equations 4 and 5), never masked; 0 without h and s."""
    terms: Array | float = 0.0
    for name, value in condition.kernels(stack).items():
        term = product(jnp.asarray(value), layer[name], precision=precision)
        terms = terms + (term[:, None, None] if value.ndim == 2 else term)
    return terms


class Vertical(NamedTuple):
    """Outputs of a layer's vertical half: its sums, the crossing, the next layer's input, the next rows' memory."""

    sums: Float[Array, "batch rows width *gates"]
    crossing: Float[Array, "batch rows width *gates"]
    out: Float[Array, "batch rows width features"]
    memory: Float[Array, "batch remembered width features"]


def vertical_half(
    layer: Params,
    x: Float[Array, "batch rows width features"],
    memory: Float[Array, "batch remembered width features"],
    condition: Condition,
) -> Vertical:
    """Computes the left half of Figure 2: the shifted (n/2 x n) convolution, the crossing, and the gate.

    The 1x1 to the horizontal stack is taken before V h and the gate. The terms of the horizontal stack that do not
    depend on the current row of the image, its bias and V h, are added to it, so that sampling adds them once a row.
    """
    sums, memory = rows_above(layer["vertical"]["kernel"], x, memory)
    sums = checkpoint_name(add_bias(sums, layer["vertical"]["bias"]), SUMS)
    kernel = layer["crossing"]["kernel"]
    crossing = add_bias(product(sums, kernel, axes=kernel.ndim // 2), layer["horizontal"]["bias"])
    return Vertical(
        sums=sums,
        crossing=crossing + condition_terms(layer, "horizontal", condition),
        out=gate(sums + condition_terms(layer, "vertical", condition)),
        memory=memory,
    )


class Context(NamedTuple):
    """Terms that are added to the two sums of the horizontal half of a layer, besides those of the colours it computes.

    Attributes:
      gate: the crossing, the columns to the left and, in sampling, the earlier colours.
      out: the bias and, in sampling, the earlier colours.
    """

    gate: Float[Array, "#batch #height #width *gates"]
    out: Float[Array, "#batch #height #width group"]


def horizontal_half(
    layer: Params,
    x: Float[Array, "batch height width features"],
    context: Context,
    *,
    residual: bool = True,
    drop: Dropout = lambda x: x,
) -> tuple[Float[Array, "batch height width group"], Float[Array, "batch height width group"]]:
    """Computes the right half of Figure 2: the current pixel, the gate, the 1x1 and the residual.

    The kernels that read the current pixel keep the colour groups. Training passes them masked, for all colours at
    once; sampling passes the block of one colour, so that each product is computed once over the colours of a pixel.

    Returns:
      The new features of the colours computed, and the gated ones.
    """
    sums = context.gate + product(x, layer["horizontal"]["pixel"])
    gated = drop(gate(checkpoint_name(sums, SUMS)))
    out = context.out + product(gated, layer["out"]["kernel"])
    return (x + out if residual else out), gated
