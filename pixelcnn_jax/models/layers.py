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

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, DTypeLike, Float, Key, Shaped

from pixelcnn_jax.foundation.devices import random_words
from pixelcnn_jax.models.inputs import Condition
from pixelcnn_jax.models.parameters import Params

Dropout = Callable[[Array], Array]
SUMS = "sums of a layer"  # the name of what enters the gates, for checkpoint policies


def shift_down(x: Float[Array, "batch height width features"]) -> Float[Array, "batch height width features"]:
    """Moves every row down by one; the first becomes zero. Applied once, it makes a vertical stack strict."""
    return jnp.pad(x, ((0, 0), (1, 0), (0, 0), (0, 0)))[:, :-1]


def product(
    x: Float[Array, "*positions_and_inputs"],
    kernel: Float[Array, "*inputs_and_outputs"],
    *,
    axes: int = 1,
    result: DTypeLike | None = None,
    precision: jax.lax.Precision | None = None,
) -> Float[Array, "*positions_and_outputs"]:
    """Contracts the last axes of ``x`` with the first of a kernel, in the types of the two.

    The operands are multiplied in the kernel's type. If ``x`` has a different type, as in bfloat16 training on a CPU,
    the result and both gradients are summed and returned in the type of ``x``: processors with bfloat16 units multiply
    it into float32, and anything else that bfloat16 does is slow there (``docs/benchmarks.md``).

    Args:
      x: what is multiplied.
      kernel: the kernel.
      axes: number of axes that are summed.
      result: type of the result if both have one type; None for that type.
      precision: as ``jax.lax.dot`` takes it.
    """
    if x.dtype == kernel.dtype:
        return jnp.tensordot(x, kernel, axes=axes, precision=precision, preferred_element_type=result)
    flat = kernel.reshape(math.prod(kernel.shape[:axes]), -1)
    flat_result = _mixed_product(lambda x: x, x.reshape(*x.shape[:-axes], -1), flat)
    return flat_result.reshape(*flat_result.shape[:-1], *kernel.shape[axes:])


def window_product(
    window: Float[Array, "batch rows columns features"],
    kernel: Float[Array, "kernel_rows kernel_columns features *out"],
    *,
    stride: int = 1,
) -> Float[Array, "batch new_rows new_columns *out"]:
    """Returns the VALID product of a kernel with every position of a window, or every ``stride``-th row and column.

    On GPU and TPU it is a convolution. On CPU, where the forward pass of XLA's convolutions uses one core, it is a
    matrix product with the gathered taps (measured in ``docs/benchmarks.md``). Both compute the same sums. The types
    are those of ``product``.
    """
    rows, columns, features, *out = kernel.shape
    flat, gather = kernel.reshape(rows * columns * features, -1), partial(gathered, rows=rows, columns=columns)
    gather = partial(gather, stride=stride)

    def convolution(window: Array, flat: Array) -> Array:
        numbers = ("NHWC", "HWIO", "NHWC")
        flat = flat.reshape(rows, columns, features, -1)
        return jax.lax.conv_general_dilated(window, flat, (stride, stride), "VALID", dimension_numbers=numbers)

    def matrix_product(window: Array, flat: Array) -> Array:
        return gather(window) @ flat

    if window.dtype == kernel.dtype:
        sums = jax.lax.platform_dependent(window, flat, cpu=matrix_product, default=convolution)
    else:
        sums = _mixed_product(gather, window, flat)
    return sums.reshape(*sums.shape[:-1], *out)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _mixed_product(
    read: Callable[[Array], Array], x: Float[Array, "*shape"], kernel: Float[Array, "inputs out"]
) -> Float[Array, "*positions out"]:
    """Returns the product of a kernel with ``read(x)``, a linear rearrangement, in the types of ``product``."""
    return _forward_product(read, x, kernel)[0]


def _forward_product(read: Callable[[Array], Array], x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    narrow = x.astype(kernel.dtype)
    return jnp.tensordot(_copied(read, narrow), kernel, axes=1, preferred_element_type=x.dtype), (narrow, kernel)


def _backward_product(
    read: Callable[[Array], Array], saved: tuple[Array, Array], gradient: Float[Array, "*positions out"]
) -> tuple[Array, Array]:
    (x, kernel), narrow = saved, gradient.astype(saved[1].dtype)
    to_read = jnp.tensordot(narrow, kernel.T, axes=1, preferred_element_type=gradient.dtype)
    (to_x,) = jax.linear_transpose(read, jax.ShapeDtypeStruct(x.shape, gradient.dtype))(to_read)
    # Contracted over all positions at once, and with the gradient first: XLA's other ways to this sum are slower on a
    # CPU. The barrier keeps it from merging the transposition into the product, which jaxlib 0.10.2 cannot run.
    positions = tuple(range(gradient.ndim - 1))
    over = ((positions, positions), ((), ()))
    to_kernel = jax.lax.dot_general(narrow, _copied(read, x), over, preferred_element_type=gradient.dtype)
    return to_x, jax.lax.optimization_barrier(to_kernel).T.astype(kernel.dtype)


def _copied(read: Callable[[Array], Array], x: Array) -> Array:
    """Returns ``read(x)``, moved as integers: XLA on a CPU would convert bfloat16 to float32 and back to copy it."""
    return jax.lax.bitcast_convert_type(read(jax.lax.bitcast_convert_type(x, jnp.uint16)), x.dtype)


_mixed_product.defvjp(_forward_product, _backward_product)


def gathered(
    window: Shaped[Array, "batch rows columns features"], rows: int, columns: int, stride: int = 1
) -> Shaped[Array, "batch new_rows new_columns taps_times_features"]:
    """Returns what a kernel of ``rows`` x ``columns`` taps reads at each of its positions in a window, side by side."""
    height, width = window.shape[1] - rows + 1, window.shape[2] - columns + 1
    taps = [window[:, i : i + height : stride, j : j + width : stride] for i in range(rows) for j in range(columns)]
    return jnp.concatenate(taps, axis=-1)


def taps_above(
    kernel: Float[Array, "kernel_rows kernel_columns features *out"], rows: Float[Array, "batch rows width features"]
) -> Float[Array, "batch new_rows width *out"]:
    """Convolves rows that begin ``kernel_rows - 1`` above the first one wanted, within zeros left and right of them."""
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
    """Returns the zeros above the first row of an image of the width of ``x``, as many rows as a layer remembers."""
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
    """Convolves the columns left of every pixel of whole rows, within zeros left of them."""
    return columns_left(kernel, jnp.pad(x, ((0, 0), (0, 0), (kernel.shape[0], 0), (0, 0)))[:, :, :-1])


def add_bias(x: Float[Array, "batch height width *out"], bias: Float[Array, "*out"]) -> Float[Array, "..."]:
    """Adds a bias to every position."""
    return x + bias[None, None, None]


def one_by_one(
    layer: Params, x: Float[Array, "batch height width inputs"]
) -> Float[Array, "batch height width *outputs"]:
    """Returns a 1x1 convolution."""
    return add_bias(product(x, layer["kernel"]), layer["bias"])


def gate(x: Float[Array, "batch height width *gates"]) -> Float[Array, "batch height width features"]:
    """Returns the gated activation unit, tanh(W_f x) * sigmoid(W_g x): equation 2.

    A single tanh over both halves, with sigmoid(x) = (1 + tanh(x / 2)) / 2, makes sampling on CPU 7 % faster but the
    training step 10 % slower (``docs/benchmarks.md``).
    """
    tanh_half, sigmoid_half = (x[..., 0, :], x[..., 1, :]) if x.ndim == 5 else jnp.split(x, 2, axis=-1)
    return jnp.tanh(tanh_half) * jax.nn.sigmoid(sigmoid_half)


def dropout(
    key: Key[Array, ""], rate: float, x: Float[Array, "batch height width features"]
) -> Float[Array, "batch height width features"]:
    """Zeroes a share ``rate`` of the features, rounded to the nearest 1/256, and scales the rest to keep the mean.

    One random byte per feature, instead of a word, decides: on CPU the generator would otherwise cost as much as the
    layer.
    """
    dropped = round(rate * 256)
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
    """Outputs of the vertical half of a layer: its sums; to the horizontal half, the next layer, and the next rows."""

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
    """All that the horizontal half of a layer reads besides the colours it computes, at each of its two sums.

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
