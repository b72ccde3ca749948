"""Layers of a Gated PixelCNN in integers, exact in float32.

Sums of integers below 2**24 are exact in any order, hence equal on every machine and for every batch size; see
``docs/integer_codec.md``. A value with *step* s stands for itself times 2**-s.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pixelcnn_jax.codec.frequencies import Softmax
from pixelcnn_jax.codec.logistics import COEFFICIENT_SHIFT, Distribution, Mixture, mean_step
from pixelcnn_jax.distributions import split_coefficients
from pixelcnn_jax.models.autoregressive import Network
from pixelcnn_jax.models.inputs import Condition, Images, condition_of
from pixelcnn_jax.models.layers import append, condition_terms
from pixelcnn_jax.models.parameters import Params, layers_of
from pixelcnn_jax.models.products import gathered

HIGHEST = jax.lax.Precision.HIGHEST  # an accelerator would multiply float32 in fewer bits
LIMIT = 2**24  # every sum, and the offset that rounds it, stays within it

TANH_RANGE, TANH_BITS = 4, 11  # largest argument, and step of the entries
SIGMOID_RANGE, SIGMOID_BITS = 8, 12

Memory = list[Float[Array, "batch _ _ _"]]  # for each layer, the rows above or the columns left


class Precision(NamedTuple):
    """Steps of a gate: arguments of its two tables, and output."""

    tanh: int
    sigmoid: int
    gate: int

    @property
    def gate_shift(self) -> int:
        return TANH_BITS + SIGMOID_BITS - self.gate


SOFTMAX, MIXTURE = Precision(8, 6, 9), Precision(11, 9, 11)  # a mean of many levels needs more than a logit


def precision_of(model: Network) -> Precision:
    """Looks up the gate steps."""
    return MIXTURE if model.mixture else SOFTMAX


def distribution_of(model: Network, tables: Params) -> Distribution:
    """Builds the head's distribution."""
    if not model.mixture:
        return Softmax(tables["exp"])
    return Mixture(model.levels, *(tables[name] for name in ("exp", "logistic", "slopes", "slope_shifts")))


def prepare(model: Network, params: Params) -> Params:
    """Converts parameters: a list of float layers, shifts as powers of two."""

    def one(path: tuple[jax.tree_util.DictKey, ...], x: Array) -> Array:
        names = [entry.key for entry in path]
        if names[0] == "shifts":  # 2**-k, by its exponent: exp2 may round
            x = jax.lax.bitcast_convert_type((127 - jnp.asarray(x, jnp.int32)) << 23, jnp.float32)
        x = jnp.asarray(x, jnp.float32)
        is_kernel = names[-1] == "kernel" or condition_of(names[-1])
        return x if is_kernel else x.reshape(1, 1, 1, *(x.shape or (1,)))

    others = {name: part for name, part in params.items() if name not in ("first", "layers", "tables")}
    layers, net = (
        jax.tree.map_with_path(lambda path, x: one(path[1:], x), part)
        for part in (layers_of(params, model.layers), others)
    )
    types = {"exp": jnp.uint32, "logistic": jnp.uint32, "slopes": jnp.int32, "slope_shifts": jnp.int32}
    tables = {name: jnp.asarray(x, types.get(name, jnp.float32)) for name, x in params["tables"].items()}
    tables["gate"] = jnp.asarray(2.0 ** -precision_of(model).gate_shift, jnp.float32)
    return net | {"layers": [layer | {"tables": tables} for layer in layers], "tables": tables}


def encode_integers(model: Network, net: Params, images: Images) -> Float[Array, "batch height width inputs"]:
    """Encodes a constant 1, then 2 x - (levels - 1) or codes."""
    if model.code_features:
        values = net["embedding"]["kernel"][jnp.arange(model.channels), images].reshape(*images.shape[:3], -1)
    else:
        values = 2 * jnp.asarray(images).astype(net["head"]["logits"]["kernel"].dtype) - (model.levels - 1)
    return jnp.concatenate([jnp.ones_like(values[..., :1]), values], axis=-1)


def dot(
    x: Float[Array | np.ndarray, "..."], kernel: Float[Array | np.ndarray, "..."], axes: int = 1
) -> Float[Array, "..."]:
    """Multiplies in float32."""
    return jnp.tensordot(x, kernel, axes=axes, precision=HIGHEST)


def exact_product(
    window: Float[Array, "batch rows columns features"],
    kernel: Float[Array, "kernel_rows kernel_columns features pair out"],
) -> Float[Array, "batch new_rows new_columns pair out"]:
    """Computes an exact VALID convolution.

    Winograd and FFT are inexact: only several float32 rows on a CPU are convolved.
    """
    rows, columns, _, *out = kernel.shape

    def gathered_product(window: Array, kernel: Array) -> Array:
        return dot(gathered(window, rows, columns), kernel.reshape(-1, *out))

    def convolved(window: Array, kernel: Array) -> Array:
        flat = kernel.reshape(*kernel.shape[:3], -1)
        layout = ("NHWC", "HWIO", "NHWC")
        sums = jax.lax.conv_general_dilated(window, flat, (1, 1), "VALID", dimension_numbers=layout, precision=HIGHEST)
        return sums.reshape(*sums.shape[:3], *out)

    if window.shape[1] == rows:
        return gathered_product(window, kernel)
    return jax.lax.platform_dependent(window, kernel, cpu=convolved, default=gathered_product)


def rescale(sums: Float[Array, "..."], power: Float[Array, "..."] | float) -> Float[Array, "..."]:
    """Computes floor(sums 2**-k + 1/2) for a power 2**-k; exact for integers, k >= 1."""
    return jnp.floor(sums * power + 0.5)


def clipped(x: Float[Array, "..."], reach: Float[Array, "..."] | int) -> Float[Array, "..."]:
    """Clips x to [-reach, reach]."""
    return jnp.clip(x, -reach, reach)


def gate(
    layer: Params, sums: Float[Array, "batch height width pair features"], stack: str
) -> Float[Array, "batch height width features"]:
    """Computes the gated activation unit of a stack by two stored tables."""
    arguments = rescale(sums, layer["shifts"][stack])
    halves = []
    for half, table in enumerate((layer["tables"]["tanh"], layer["tables"]["sigmoid"])):
        reach = table.size // 2
        index = jnp.clip(arguments[..., half, :], -reach, reach).astype(jnp.int32) + reach
        halves.append(table.at[index].get(mode="promise_in_bounds"))
    return rescale(halves[0] * halves[1], layer["tables"]["gate"])


def vertical_stack(
    net: Params, x: Float[Array, "batch rows width _"], memory: Memory, condition: Condition
) -> tuple[list[Array], Memory]:
    """Advances the vertical stack; returns crossings per layer and memory.

    ``net["inside"]``, if present, zeroes padding columns.
    """
    crossings, remembered = [], []
    if condition.s is not None:
        shifts, clips = net["condition"]["shifts"], net["condition"]["clips"]
        condition = condition._replace(s=clipped(rescale(jnp.asarray(condition.s), shifts["s"]), clips["s"]))
    for layer, above in zip(net["layers"], memory, strict=True):
        x = x * net["inside"] if "inside" in net else x
        window, kernel = jnp.concatenate([above, x], axis=1), layer["vertical"]["kernel"]
        border = kernel.shape[1] // 2
        padded = jnp.pad(window, ((0, 0), (0, 0), (border, border), (0, 0)))
        sums = exact_product(padded, kernel) + layer["vertical"]["bias"]
        crossing = clipped(rescale(sums, layer["shifts"]["crossing"]), layer["clips"]["crossing"])
        crossing = dot(crossing, layer["crossing"]["kernel"], axes=2) + layer["horizontal"]["bias"]
        crossings.append(crossing + condition_terms(layer, "horizontal", condition, precision=HIGHEST))
        remembered.append(window[:, x.shape[1] :])
        x = gate(layer, sums + condition_terms(layer, "vertical", condition, precision=HIGHEST), "vertical")
    return crossings, remembered


def horizontal_stack(
    layers: list[Params], x: Float[Array, "batch height width inputs"], crossings: list[Array]
) -> Float[Array, "batch height width features"]:
    """Computes the head's input features."""
    features = None
    for layer, crossing in zip(layers, crossings, strict=True):
        x = x if features is None else into_layer(layer, features)
        left = layer["horizontal"]["kernel"].shape[0] - 1
        window = jnp.pad(x, ((0, 0), (0, 0), (left, 0), (0, 0)))[:, :, :-1]
        features, _ = horizontal_half(layer, x, crossing + columns_left(layer, window), features)
    assert features is not None  # there is a first layer
    return features


def columns_left(layer: Params, window: Float[Array, "batch height _ features"]) -> Float[Array, "..."]:
    """Convolves the columns left of each pixel."""
    return exact_product(window, layer["horizontal"]["kernel"][None, :-1])


def into_layer(layer: Params, features: Float[Array, "batch height width _"]) -> Float[Array, "batch height width _"]:
    """Rescales and clips features for a layer."""
    return clipped(rescale(features, layer["shifts"]["input"]), layer["clips"]["input"])


def horizontal_half(
    layer: Params,
    x: Float[Array, "batch height width inputs"],
    context: Float[Array, "batch height width pair block"],
    features: Float[Array, "batch height width block"] | None,
    gated: Float[Array, "batch height width earlier"] | None = None,
) -> tuple[Float[Array, "batch height width block"], Float[Array, "batch height width gated"]]:
    """Computes the pixel's products, gate and residual, of all colours or one.

    Args:
      layer: layer, with kernels of the colours computed.
      x: input of the pixel's product.
      context: crossing plus columns to the left.
      features: None in the first layer.
      gated: gated features of earlier colours.

    Returns:
      New features, and gated features including earlier colours.
    """
    new = gate(layer, context + dot(x, layer["horizontal"]["kernel"][-1]), "horizontal")
    gated = append(gated, new)
    out = rescale(dot(gated, layer["out"]["kernel"]) + layer["out"]["bias"], layer["shifts"]["out"])
    return clipped(out if features is None else features + out, layer["clips"]["residual"]), gated


def predicted(
    model: Network, outputs: Float[Array, "*subpixels outputs"], terms: Float[Array, "*subpixels terms"]
) -> Float[Array, "*subpixels numbers"]:
    """Adds a linear prediction to the means, within 2**24."""
    count = model.mixture
    numbers, coefficients = split_coefficients(outputs, terms, count)
    coefficients = clipped(coefficients, LIMIT // (4 * coefficients.shape[-2] * (model.levels - 1)) - 1)
    shifts = rescale(jnp.sum(coefficients * terms[..., 1:, None], axis=-2), 2.0**-COEFFICIENT_SHIFT)
    return numbers.at[..., count : 2 * count].add(shifts + terms[..., :1] * 2.0 ** (mean_step(model.levels) - 1))


def head_hidden(head: Params, features: Float[Array, "batch height width _"]) -> Float[Array, "batch height width _"]:
    """Computes the head's hidden features; clips from 0 are ReLUs."""
    inputs = jnp.clip(rescale(features, head["shifts"]["input"]), 0, head["clips"]["input"])
    sums = dot(inputs, head["hidden"]["kernel"]) + head["hidden"]["bias"]
    return jnp.clip(rescale(sums, head["shifts"]["hidden"]), 0, head["clips"]["hidden"])


def head_last(head: Params, hidden: Float[Array, "batch height width _"]) -> Float[Array, "batch height width outputs"]:
    """Computes the head's outputs."""
    return rescale(dot(hidden, head["logits"]["kernel"]) + head["logits"]["bias"], head["shifts"]["logits"])
