"""The operations of a Gated PixelCNN, as functions of arrays; its predecessors use some of them.

No operation pads and none masks space: each reads a *window*. A vertical one reads its own row and the rows above, a
horizontal one its own column and the columns to the left, and what lies before the first row or column is a *memory*
that the caller hands in. Handed zeros and the whole image, they are the layers of training; handed the remembered rows
and one new row, or the remembered columns and one new pixel, they are the layers of cached sampling. There is no second
implementation of the network.

Shapes are written as in ``Float[Array, "batch height width features"]``. A *gate pair* is the axis of size two that
holds the tanh half and the sigmoid half of a gated unit.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from pixelcnn_jax.models.inputs import Condition
from pixelcnn_jax.models.parameters import Params

Dropout = Callable[[Array], Array]


def shift_down(x: Float[Array, "batch height width features"]) -> Float[Array, "batch height width features"]:
    """Moves every row down by one; the first becomes zero. Applied once, it makes a vertical stack strict."""
    return jnp.pad(x, ((0, 0), (1, 0), (0, 0), (0, 0)))[:, :-1]


def colour_groups(features: int, channels: int) -> Int[np.ndarray, " features"]:
    """The channel whose group each feature belongs to: feature j of p is in group floor(j C / p).

    Groups need not be equal. A feature of group c may know the earlier pixels whole and, of its own pixel, the
    channels before c (after the strict layer) only.
    """
    return np.arange(features) * channels // features


def group_slice(features: int, channels: int, colour: int) -> slice:
    """The features of one colour group; groups are contiguous."""
    start, stop = np.searchsorted(colour_groups(features, channels), [colour, colour + 1])
    return slice(int(start), int(stop))


def colour_mask(
    inputs: Int[np.ndarray, " inputs"], outputs: Int[np.ndarray, " outputs"], *, strict: bool = False
) -> Bool[np.ndarray, "inputs outputs"]:
    """Which input feature of the current pixel an output feature may read: earlier groups, and its own unless strict.

    1601.06759, section 3.4: mask A is ``strict`` and belongs to the first layer alone, mask B to all others. An input
    that is known everywhere (the constant-1 channel) has group -1.
    """
    return inputs[:, None] < outputs if strict else inputs[:, None] <= outputs


def window_product(
    window: Float[Array, "batch rows columns features"],
    kernel: Float[Array, "kernel_rows kernel_columns features *out"],
    *,
    stride: int = 1,
) -> Float[Array, "batch new_rows new_columns *out"]:
    """The VALID product of a kernel with every position of a window: the one place that chooses how it is computed.

    With a ``stride`` it is at every so-manieth row and column.

    On GPU and TPU it is a convolution. On CPU, where XLA's convolutions run on one core forward, it is a matrix
    product with the gathered taps (measured in ``benchmarks/README.md``). Both give the same sums.
    """
    rows, columns, features, *out = kernel.shape
    flat = kernel.reshape(rows, columns, features, -1)

    def convolution(window: Array, flat: Array) -> Array:
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(window, flat, (stride, stride), "VALID", dimension_numbers=numbers)

    def matrix_product(window: Array, flat: Array) -> Array:
        height, width = window.shape[1] - rows + 1, window.shape[2] - columns + 1
        taps = [window[:, i : i + height : stride, j : j + width : stride] for i in range(rows) for j in range(columns)]
        return jnp.concatenate(taps, axis=-1) @ flat.reshape(rows * columns * features, -1)

    product = jax.lax.platform_dependent(window, flat, cpu=matrix_product, default=convolution)
    return product.reshape(*product.shape[:-1], *out)


def rows_above(
    kernel: Float[Array, "kernel_rows kernel_columns features *out"],
    x: Float[Array, "batch rows width features"],
    memory: Float[Array, "batch remembered width features"],
) -> tuple[Float[Array, "batch rows width *out"], Float[Array, "batch remembered width features"]]:
    """Shifted (n/2 x n) convolution: each row with the ``kernel_rows - 1`` rows above it, ``kernel_columns`` wide.

    ``memory`` holds the rows above ``x``; the rows that the next call needs are returned beside the result.
    """
    window = jnp.concatenate([memory, x], axis=1)
    border = kernel.shape[1] // 2
    product = window_product(jnp.pad(window, ((0, 0), (0, 0), (border, border), (0, 0))), kernel)
    return product, window[:, x.shape[1] :]


def columns_left(
    kernel: Float[Array, "kernel_columns features *out"], x: Float[Array, "batch height columns features"]
) -> Float[Array, "batch height new_columns *out"]:
    """Shifted (1 x n/2) convolution of the columns left of a pixel, the pixel itself excluded.

    Position j of the result reads columns j to j + kernel_columns - 1 of ``x``, so ``x`` begins ``kernel_columns``
    before the first pixel wanted and ends one before the last.
    """
    return window_product(x, kernel[None])


def add_bias(x: Float[Array, "batch height width *out"], bias: Float[Array, "*out"]) -> Float[Array, "..."]:
    """Adds a bias to every position."""
    return x + bias[None, None, None]


def gate(x: Float[Array, "batch height width pair features"]) -> Float[Array, "batch height width features"]:
    """The gated activation unit, tanh(W_f x) * sigmoid(W_g x): equation 2.

    One tanh over both halves, sigmoid(x) being (1 + tanh(x / 2)) / 2, made sampling on CPU 7 % faster and the training
    step a tenth slower (``benchmarks/README.md``).
    """
    return jnp.tanh(x[..., 0, :]) * jax.nn.sigmoid(x[..., 1, :])


def dropout(
    key: Key[Array, ""], rate: float, x: Float[Array, "batch height width features"]
) -> Float[Array, "batch height width features"]:
    """Zeroes a share ``rate`` of the features, to the nearest 256th, and scales up the rest, so that the mean stays.

    One random byte decides over a feature, not a word: on CPU the generator would else cost as much as the layer.
    """
    dropped = round(rate * 256)
    words = jax.random.bits(key, (*x.shape[:3], -(-x.shape[3] // 4)))
    chances = jax.lax.bitcast_convert_type(words, jnp.uint8).reshape(*x.shape[:3], -1)[..., : x.shape[3]]
    return jnp.where(chances >= dropped, x * (256 / (256 - dropped)), jnp.zeros_like(x))


def condition_terms(
    layer: Params, stack: str, condition: Condition
) -> Float[Array, "#batch #height #width *features"] | float:
    """V h and V s for one stack of a layer (equations 4 and 5); never masked. 0 where the model has neither."""
    terms: Array | float = 0.0
    if condition.h is not None:
        terms = terms + jnp.tensordot(condition.h, layer[f"{stack}_h"], axes=1)[:, None, None]
    if condition.s is not None:
        terms = terms + jnp.tensordot(condition.s, layer[f"{stack}_s"], axes=1)
    return terms


class Vertical(NamedTuple):
    """What the vertical half of a layer gives: to the horizontal half, to the next layer, to the next rows."""

    crossing: Float[Array, "batch rows width pair features"]
    out: Float[Array, "batch rows width features"]
    memory: Float[Array, "batch remembered width features"]


def vertical_half(
    layer: Params,
    x: Float[Array, "batch rows width features"],
    memory: Float[Array, "batch remembered width features"],
    condition: Condition,
) -> Vertical:
    """The left half of Figure 2: the shifted (n/2 x n) convolution, what crosses over, and the gate.

    The 1x1 to the horizontal stack is taken before V h and the gate. To it are added the terms of the horizontal
    stack that do not depend on the current row of the image, its bias and V h, so that sampling adds them once a row.
    """
    product, memory = rows_above(layer["vertical"]["kernel"], x, memory)
    product = add_bias(product, layer["vertical"]["bias"])
    crossing = add_bias(jnp.tensordot(product, layer["crossing"]["kernel"], axes=2), layer["horizontal"]["bias"])
    return Vertical(
        crossing=crossing + condition_terms(layer, "horizontal", condition),
        out=gate(product + condition_terms(layer, "vertical", condition)),
        memory=memory,
    )


class Context(NamedTuple):
    """All that the horizontal half of a layer reads besides the colours it computes, at its two sums.

    Attributes:
      gate: what crossed over from the vertical stack, the columns to the left and, in sampling, the earlier colours.
      out: the bias and, in sampling, the earlier colours.
    """

    gate: Float[Array, "#batch #height #width pair group"]
    out: Float[Array, "#batch #height #width group"]


def horizontal_half(
    layer: Params,
    x: Float[Array, "batch height width features"],
    context: Context,
    *,
    residual: bool = True,
    drop: Dropout = lambda x: x,
) -> tuple[Float[Array, "batch height width group"], Float[Array, "batch height width group"]]:
    """The right half of Figure 2: the current pixel, the gate, the 1x1 and the residual.

    The kernels that touch the current pixel keep the colour groups: training hands them in masked, for all colours at
    once, sampling cut to the block of one colour, so that each product is done once over the colours of a pixel.
    Returns the new features of the colours asked for, and the gated ones.
    """
    gated = drop(gate(context.gate + jnp.tensordot(x, layer["horizontal"]["pixel"], axes=1)))
    out = context.out + jnp.tensordot(gated, layer["out"]["kernel"], axes=1)
    return (x + out if residual else out), gated
