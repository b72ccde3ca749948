"""Layers of the Gated PixelCNN, shared by training and cached sampling.

``memory`` holds the rows above: zero padding in training, cached in sampling.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jaxtyping import Array, Float, Key

from pixelcnn_jax.models.inputs import Condition
from pixelcnn_jax.models.parameters import Params
from pixelcnn_jax.models.products import product, window_product

Dropout = Callable[[Array], Array]
PRE_ACTIVATION = "pre_activation of a layer"  # checkpoint name of the pre-activations


def shift_down(x: Float[Array, "batch height width features"]) -> Float[Array, "batch height width features"]:
    """Shifts down by one row: the vertical stack excludes the current row."""
    return jnp.pad(x, ((0, 0), (1, 0), (0, 0), (0, 0)))[:, :-1]


def vertical_conv_valid(
    kernel: Float[Array, "kernel_rows kernel_columns features *out"], rows: Float[Array, "batch rows width features"]
) -> Float[Array, "batch new_rows width *out"]:
    """Convolves, VALID over rows and SAME over columns."""
    border = kernel.shape[1] // 2
    return window_product(jnp.pad(rows, ((0, 0), (0, 0), (border, border), (0, 0))), kernel)


def vertical_conv(
    kernel: Float[Array, "kernel_rows kernel_columns features *out"],
    x: Float[Array, "batch rows width features"],
    memory: Float[Array, "batch remembered width features"],
) -> tuple[Float[Array, "batch rows width *out"], Float[Array, "batch remembered width features"]]:
    """Convolves over each row of x and the rows above it (n/2 x n); also returns the new memory."""
    window = jnp.concatenate([memory, x], axis=1)
    return vertical_conv_valid(kernel, window), window[:, x.shape[1] :]


def zero_rows(layer: Params, x: Float[Array, "batch _ width _"]) -> Float[Array, "batch rows width features"]:
    """Builds the memory above an image: zero padding."""
    rows, _, inputs, *_ = layer["vertical"]["kernel"].shape
    return jnp.zeros((x.shape[0], rows - 1, x.shape[2], inputs), x.dtype)


def horizontal_conv_valid(
    kernel: Float[Array, "kernel_columns features *out"], x: Float[Array, "batch height columns features"]
) -> Float[Array, "batch height new_columns *out"]:
    """Convolves with the 1 x n/2 kernel of the left context, VALID."""
    return window_product(x, kernel[None])


def horizontal_conv(
    kernel: Float[Array, "kernel_columns features *out"], x: Float[Array, "batch height width features"]
) -> Float[Array, "batch height width *out"]:
    """Convolves over the left context of every pixel, excluding the pixel itself."""
    return horizontal_conv_valid(kernel, jnp.pad(x, ((0, 0), (0, 0), (kernel.shape[0], 0), (0, 0)))[:, :, :-1])


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
    """Computes tanh(f) * sigmoid(g) (equation 2); x is f and g stacked on axis -2, or concatenated on accelerators."""
    tanh_half, sigmoid_half = (x[..., 0, :], x[..., 1, :]) if x.ndim == 5 else jnp.split(x, 2, axis=-1)
    return jnp.tanh(tanh_half) * jax.nn.sigmoid(sigmoid_half)


def dropout(
    key: Key[Array, ""], rate: float, x: Float[Array, "batch height width features"]
) -> Float[Array, "batch height width features"]:
    """Applies dropout, with ``rate`` rounded to a positive multiple of 1/256."""
    threshold = max(1, round(rate * 256))  # the noise is uint8: uint32 would cost as much as the layer on CPU
    words = jax.random.bits(key, (*x.shape[:3], -(-x.shape[3] // 4)), jnp.uint32)
    uniform = jax.lax.bitcast_convert_type(words, jnp.uint8).reshape(*x.shape[:3], -1)[..., : x.shape[3]]
    return jnp.where(uniform >= threshold, x * (256 / (256 - threshold)), jnp.zeros_like(x))


def dropouts(key: Key[Array, ""] | None, rate: float) -> tuple[Dropout, Dropout]:
    """Builds the dropout of the horizontal and the vertical stack."""
    if key is None:
        return (lambda x: x), (lambda x: x)
    horizontal, vertical = jax.random.split(key)
    return partial(dropout, horizontal, rate), partial(dropout, vertical, rate)


def condition_terms(
    layer: Params, stack: str, condition: Condition, *, precision: jax.lax.Precision | None = None
) -> Float[Array, "#batch #height #width *features"] | float:
    """Computes V h + V s of one stack (equations 4 and 5); 0 if unconditional."""
    terms: Array | float = 0.0
    for name, value in condition.kernels(stack).items():
        term = product(jnp.asarray(value), layer[name], precision=precision)
        terms = terms + (term[:, None, None] if value.ndim == 2 else term)
    return terms


class VerticalOutput(NamedTuple):
    """``crossing`` is added to the horizontal stack, ``memory`` is kept for the next rows."""

    pre_activation: Float[Array, "batch rows width *gates"]
    crossing: Float[Array, "batch rows width *gates"]
    out: Float[Array, "batch rows width features"]
    memory: Float[Array, "batch remembered width features"]


def vertical_layer(
    layer: Params,
    x: Float[Array, "batch rows width features"],
    memory: Float[Array, "batch remembered width features"],
    condition: Condition,
) -> VerticalOutput:
    """Computes a vertical layer: n/2 x n, gate, 1x1 to horizontal (Figure 2)."""
    pre_activation, memory = vertical_conv(layer["vertical"]["kernel"], x, memory)
    pre_activation = checkpoint_name(add_bias(pre_activation, layer["vertical"]["bias"]), PRE_ACTIVATION)
    kernel = layer["crossing"]["kernel"]
    # The horizontal bias, V h and V s are added here, so that sampling adds them once per row.
    crossing = add_bias(product(pre_activation, kernel, axes=kernel.ndim // 2), layer["horizontal"]["bias"])
    return VerticalOutput(
        pre_activation=pre_activation,
        crossing=crossing + condition_terms(layer, "horizontal", condition),
        out=gate(pre_activation + condition_terms(layer, "vertical", condition)),
        memory=memory,
    )


def horizontal_layer(
    layer: Params,
    x: Float[Array, "batch height width features"],
    pre_activation: Float[Array, "#batch #height #width *gates"],
    out: Float[Array, "#batch #height #width out_features"],
    *,
    residual: bool = True,
    drop: Dropout = lambda x: x,
) -> tuple[Float[Array, "batch height width out_features"], Float[Array, "batch height width out_features"]]:
    """Adds the terms of the current pixel (sampling: colour) to all others; returns the output and the gated units."""
    pre_activation = pre_activation + product(x, layer["horizontal"]["pixel"])
    gated = drop(gate(checkpoint_name(pre_activation, PRE_ACTIVATION)))
    out = out + product(gated, layer["out"]["kernel"])
    return (x + out if residual else out), gated


def horizontal_rows(
    layer: Params,
    x: Float[Array, "batch height width inputs"],
    crossing: Float[Array, "batch height width *gates"],
    **options: Any,
) -> tuple[Float[Array, "batch height width features"], Float[Array, "batch height width features"]]:
    """Computes ``horizontal_layer`` over whole rows."""
    before = crossing + horizontal_conv(layer["horizontal"]["left"], x)
    return horizontal_layer(layer, x, before, layer["out"]["bias"][None, None, None], **options)
