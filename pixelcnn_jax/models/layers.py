"""Layers of the Gated PixelCNN, shared by training and cached sampling.

The rows above come in as ``memory``: zero padding in training, cached rows in sampling.
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
SUMS = "sums of a layer"  # checkpoint name of the inputs of the gates


def shift_down(x: Float[Array, "batch height width features"]) -> Float[Array, "batch height width features"]:
    """Shifts rows down by one, which makes a vertical stack strictly causal."""
    return jnp.pad(x, ((0, 0), (1, 0), (0, 0), (0, 0)))[:, :-1]


def taps_above(
    kernel: Float[Array, "kernel_rows kernel_columns features *out"], rows: Float[Array, "batch rows width features"]
) -> Float[Array, "batch new_rows width *out"]:
    """Convolves rows that start ``kernel_rows - 1`` above the output; pads the sides."""
    border = kernel.shape[1] // 2
    return window_product(jnp.pad(rows, ((0, 0), (0, 0), (border, border), (0, 0))), kernel)


def rows_above(
    kernel: Float[Array, "kernel_rows kernel_columns features *out"],
    x: Float[Array, "batch rows width features"],
    memory: Float[Array, "batch remembered width features"],
) -> tuple[Float[Array, "batch rows width *out"], Float[Array, "batch remembered width features"]]:
    """Convolves rows with the memory above (shifted n/2 x n); also the next memory."""
    window = jnp.concatenate([memory, x], axis=1)
    return taps_above(kernel, window), window[:, x.shape[1] :]


def rows_border(layer: Params, x: Float[Array, "batch _ width _"]) -> Float[Array, "batch rows width features"]:
    """Builds the memory above an image: zero padding."""
    rows, _, inputs, *_ = layer["vertical"]["kernel"].shape
    return jnp.zeros((x.shape[0], rows - 1, x.shape[2], inputs), x.dtype)


def columns_left(
    kernel: Float[Array, "kernel_columns features *out"], x: Float[Array, "batch height columns features"]
) -> Float[Array, "batch height new_columns *out"]:
    """Convolves the columns left of each pixel (shifted 1 x n/2), without padding."""
    return window_product(x, kernel[None])


def rows_left(
    kernel: Float[Array, "kernel_columns features *out"], x: Float[Array, "batch height width features"]
) -> Float[Array, "batch height width *out"]:
    """Convolves the columns left of every pixel of whole rows, with zero padding."""
    return columns_left(kernel, jnp.pad(x, ((0, 0), (0, 0), (kernel.shape[0], 0), (0, 0)))[:, :, :-1])


def add_bias(x: Float[Array, "batch height width *out"], bias: Float[Array, "*out"]) -> Float[Array, "..."]:
    """Adds a bias at every position."""
    return x + bias[None, None, None]


def append(earlier: Array | None, new: Array) -> Array:
    """Concatenates the features of earlier colours, if any, with new ones."""
    return new if earlier is None else jnp.concatenate([earlier, new], axis=-1)


def one_by_one(
    layer: Params, x: Float[Array, "batch height width inputs"]
) -> Float[Array, "batch height width *outputs"]:
    """Applies a 1x1 convolution."""
    return add_bias(product(x, layer["kernel"]), layer["bias"])


def gate(x: Float[Array, "batch height width *gates"]) -> Float[Array, "batch height width features"]:
    """Applies tanh(W_f x) * sigmoid(W_g x), equation 2; halves stacked or joined."""
    tanh_half, sigmoid_half = (x[..., 0, :], x[..., 1, :]) if x.ndim == 5 else jnp.split(x, 2, axis=-1)
    return jnp.tanh(tanh_half) * jax.nn.sigmoid(sigmoid_half)


def dropout(
    key: Key[Array, ""], rate: float, x: Float[Array, "batch height width features"]
) -> Float[Array, "batch height width features"]:
    """Drops features at ``rate``, rounded to 1/256 but not to 0, and rescales."""
    dropped = max(1, round(rate * 256))  # of 256 values of a byte: words would cost as much as the layer on CPU
    words = random_words(key, (*x.shape[:3], -(-x.shape[3] // 4)))
    chances = jax.lax.bitcast_convert_type(words, jnp.uint8).reshape(*x.shape[:3], -1)[..., : x.shape[3]]
    return jnp.where(chances >= dropped, x * (256 / (256 - dropped)), jnp.zeros_like(x))


def condition_terms(
    layer: Params, stack: str, condition: Condition, *, precision: jax.lax.Precision | None = None
) -> Float[Array, "#batch #height #width *features"] | float:
    """Computes V h + V s of one stack (equations 4 and 5); 0 if unconditional."""
    terms: Array | float = 0.0
    for name, value in condition.kernels(stack).items():
        term = product(jnp.asarray(value), layer[name], precision=precision)
        terms = terms + (term[:, None, None] if value.ndim == 2 else term)
    return terms


class Vertical(NamedTuple):
    """Outputs of a vertical half; ``memory`` is that of the next rows."""

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
    """Computes the left half of Figure 2: convolution, gate and 1x1 crossing."""
    sums, memory = rows_above(layer["vertical"]["kernel"], x, memory)
    sums = checkpoint_name(add_bias(sums, layer["vertical"]["bias"]), SUMS)
    kernel = layer["crossing"]["kernel"]
    # The horizontal bias and V h are added here, so that sampling adds them once per row.
    crossing = add_bias(product(sums, kernel, axes=kernel.ndim // 2), layer["horizontal"]["bias"])
    return Vertical(
        sums=sums,
        crossing=crossing + condition_terms(layer, "horizontal", condition),
        out=gate(sums + condition_terms(layer, "vertical", condition)),
        memory=memory,
    )


class Context(NamedTuple):
    """Addends of a horizontal half: crossing, bias, columns left, earlier colours."""

    gate: Float[Array, "#batch #height #width *gates"]
    out: Float[Array, "#batch #height #width block"]


def horizontal_half(
    layer: Params,
    x: Float[Array, "batch height width features"],
    context: Context,
    *,
    residual: bool = True,
    drop: Dropout = lambda x: x,
) -> tuple[Float[Array, "batch height width block"], Float[Array, "batch height width block"]]:
    """Computes the right half of Figure 2: the features, and those before the 1x1."""
    sums = context.gate + product(x, layer["horizontal"]["pixel"])
    gated = drop(gate(checkpoint_name(sums, SUMS)))
    out = context.out + product(gated, layer["out"]["kernel"])
    return (x + out if residual else out), gated
