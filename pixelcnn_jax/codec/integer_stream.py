"""Layers and stream of a Gated PixelCNN in integers, exact in float32.

Sums of integers below 2**24 are exact in any order, hence equal on every machine and for every batch size; see
``docs/integer_codec.md``. A value with *step* s stands for itself times 2**-s.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pixelcnn_jax.codec import frequencies
from pixelcnn_jax.codec.tables import LIMIT, input_shift, precision_of
from pixelcnn_jax.distributions import differences, neighbours, split_coefficients
from pixelcnn_jax.models.autoregressive import Network
from pixelcnn_jax.models.colours import colour_block, colour_slice, colour_slices
from pixelcnn_jax.models.gated_stream import Rows, neighbours_of, terms_of
from pixelcnn_jax.models.inputs import Condition, HeadOutputs, Images, Index, Logits, PixelValues, RowValues
from pixelcnn_jax.models.layers import Features, concatenate_features, condition_terms, zero_rows
from pixelcnn_jax.models.parameters import Params, layers_of
from pixelcnn_jax.models.products import im2col

CONDITION_KERNELS = ("vertical_h", "vertical_s", "horizontal_h", "horizontal_s")
HIGHEST = jax.lax.Precision.HIGHEST  # an accelerator would multiply float32 in fewer bits
TABLE_TYPES = {"exp": jnp.uint32, "logistic": jnp.uint32, "slopes": jnp.int32, "slope_shifts": jnp.int32}

Memory = list[Float[Array, "batch _ _ _"]]  # for each layer, the rows above or the columns left


def distribution_of(model: Network, tables: Params) -> frequencies.Distribution:
    """Builds the head's distribution."""
    if not model.mixture:
        return frequencies.IntegerSoftmax(tables["exp"])
    kind = frequencies.HighByte if frequencies.is_wide(model.levels) else frequencies.IntegerMixture
    return kind(model.levels, *(tables[name] for name in ("exp", "logistic", "slopes", "slope_shifts")))


def as_floats(model: Network, params: Params) -> Params:
    """Converts parameters: a list of float layers, shifts as powers of two.

    Added are "inputs", the scales of the first layer's inputs, and to the tables "gate", the scale of a gate's output.
    Each layer gets the tables.
    """

    def convert(path: tuple[Any, ...], x: Array) -> Array:
        part, name = (getattr(entry, "key", "") for entry in path[-2:])
        if part == "tables":
            return jnp.asarray(x, TABLE_TYPES.get(name, jnp.float32))
        if part == "shifts":  # 2**-k, by its exponent: exp2 may round
            x = jax.lax.bitcast_convert_type((127 - jnp.asarray(x, jnp.int32)) << 23, jnp.float32)
        x = jnp.asarray(x, jnp.float32)
        return x if name == "kernel" or name in CONDITION_KERNELS else x.reshape(1, 1, 1, *(x.shape or (1,)))

    parts = {name: part for name, part in params.items() if name != "first"}
    net: Params = jax.tree.map_with_path(convert, parts | {"layers": layers_of(params, model.layers)})
    scales = [1.0] + [2.0 ** -input_shift(model)] * (model.inputs - 1)
    net["inputs"] = jnp.asarray(scales, jnp.float32).reshape(1, 1, 1, -1)
    net["tables"]["gate"] = jnp.asarray(2.0 ** -precision_of(model).gate_shift, jnp.float32)
    return net | {"layers": [layer | {"tables": net["tables"]} for layer in net["layers"]]}


def encode_integers(model: Network, net: Params, images: Images) -> Float[Array, "batch height width inputs"]:
    """Encodes a constant 1, then 2 x - (levels - 1) or codes."""
    if model.code_features:
        codes = jnp.asarray(images, jnp.int32)
        values = net["embedding"]["kernel"][jnp.arange(model.channels), codes].reshape(*codes.shape[:3], -1)
    else:
        values = 2 * jnp.asarray(images).astype(net["head"]["logits"]["kernel"].dtype) - (model.levels - 1)
    return jnp.concatenate([jnp.ones_like(values[..., :1]), values], axis=-1)


def dot(x: Float[Array, "..."], kernel: Float[Array, "..."], axes: int = 1) -> Float[Array, "..."]:
    """Multiplies in float32."""
    return jnp.tensordot(x, kernel, axes=axes, precision=HIGHEST)


def exact_product(
    window: Float[Array, "batch rows columns features"],
    kernel: Float[Array, "kernel_rows kernel_columns features pair out"],
) -> Float[Array, "batch new_rows new_columns pair out"]:
    """Computes an exact VALID convolution.

    Algorithms such as Winograd and FFT are inexact. A convolution of XLA is therefore used only for several rows in
    float32 on a CPU, and products otherwise.
    """
    rows, columns, _, *out = kernel.shape

    def gathered_product(window: Array, kernel: Array) -> Array:
        return dot(im2col(window, rows, columns), kernel.reshape(-1, *out))

    def convolved(window: Array, kernel: Array) -> Array:
        flat = kernel.reshape(*kernel.shape[:3], -1)
        layout = ("NHWC", "HWIO", "NHWC")
        sums = jax.lax.conv_general_dilated(window, flat, (1, 1), "VALID", dimension_numbers=layout, precision=HIGHEST)
        return sums.reshape(*sums.shape[:3], *out)

    if window.shape[1] == rows:
        return gathered_product(window, kernel)
    return jax.lax.platform_dependent(window, kernel, cpu=convolved, default=gathered_product)


@cache
def products_are_exact(shape: tuple[int, int, int], kernel: tuple[int, ...], device: Any) -> bool:
    """Tests products just below 2**24 on the default device, in several rows and in one; ``device`` keys the cache.

    TF32, bfloat16, Winograd and FFT convolutions are inexact; XLA chooses per shape.
    """
    generator, (images, rows, columns), (height, width, features, *_) = np.random.default_rng(0), shape, kernel
    most = math.isqrt(2**24 // (height * width * features))
    size = images, rows + height - 1, columns + width - 1, features
    weights, window = (generator.integers(-most, most + 1, x, np.int16).astype(np.float32) for x in (kernel, size))
    patches = np.lib.stride_tricks.sliding_window_view(window[0, :, : 64 + width - 1], (height, width), axis=(0, 1))
    expected = np.tensordot(patches.astype(float), np.moveaxis(weights, 2, 0).astype(float), 3)
    products = (jax.jit(exact_product)(x, weights)[0, :, :64] for x in (window, window[:, :height]))
    return all((np.asarray(x) == expected[: len(x)]).all() for x in products)


def rescale(sums: Float[Array, "..."], power: Float[Array, "..."] | float) -> Float[Array, "..."]:
    """Computes floor(sums 2**-k + 1/2) for a power 2**-k; exact for integers, k >= 1."""
    return jnp.floor(sums * power + 0.5)


def clipped(x: Float[Array, "..."], reach: Float[Array, "..."] | int) -> Float[Array, "..."]:
    """Clips x to [-reach, reach]."""
    return jnp.clip(x, -reach, reach)


def integer_gate(layer: Params, sums: Float[Array, "batch height width pair features"], stack: str) -> Features:
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
    x = into_first_layer(net, x)
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
        x = integer_gate(layer, sums + condition_terms(layer, "vertical", condition, precision=HIGHEST), "vertical")
    return crossings, remembered


def integer_horizontal_conv(layer: Params, window: Float[Array, "batch height _ features"]) -> Float[Array, "..."]:
    """Convolves the columns left of each pixel."""
    return exact_product(window, layer["horizontal"]["kernel"][None, :-1])


def into_first_layer(net: Params, x: Features) -> Features:
    """Rescales encoded pixels, of which products read 12 bits."""
    return rescale(x, net["inputs"][..., : x.shape[-1]])


def into_layer(layer: Params, features: Features) -> Features:
    """Rescales and clips features for a layer."""
    return clipped(rescale(features, layer["shifts"]["input"]), layer["clips"]["input"])


def integer_horizontal_layer(
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
    new = integer_gate(layer, context + dot(x, layer["horizontal"]["kernel"][-1]), "horizontal")
    gated = concatenate_features(gated, new)
    out = rescale(dot(gated, layer["out"]["kernel"]) + layer["out"]["bias"], layer["shifts"]["out"])
    return clipped(out if features is None else features + out, layer["clips"]["residual"]), gated


def add_integer_prediction(
    model: Network, outputs: Float[Array, "*subpixels outputs"], terms: Float[Array, "*subpixels terms"]
) -> Float[Array, "*subpixels numbers"]:
    """Adds a linear prediction to the means, in 32 bits."""
    count, limit = model.mixture, 2**31 if frequencies.is_wide(model.levels) else LIMIT
    numbers, coefficients = split_coefficients(outputs, terms, count)
    coefficients = clipped(coefficients, limit // (4 * coefficients.shape[-2] * (model.levels - 1)) - 1)
    products = coefficients.astype(jnp.int32) * terms[..., 1:, None].astype(jnp.int32)
    shift = frequencies.coefficient_shift(model.levels)
    shifts = (jnp.sum(products, axis=-2, dtype=jnp.int32) + (1 << shift - 1) >> shift).astype(numbers.dtype)
    half_level = 2.0 ** (frequencies.mean_step(model.levels) - 1)
    return numbers.at[..., count : 2 * count].add(shifts + terms[..., :1] * half_level)


def integer_head_hidden(head: Params, features: Features) -> Features:
    """Computes the head's hidden features; clips from 0 are ReLUs."""
    inputs = jnp.clip(rescale(features, head["shifts"]["input"]), 0, head["clips"]["input"])
    sums = dot(inputs, head["hidden"]["kernel"]) + head["hidden"]["bias"]
    return jnp.clip(rescale(sums, head["shifts"]["hidden"]), 0, head["clips"]["hidden"])


def integer_head_last(head: Params, hidden: Features) -> Float[Array, "batch height width outputs"]:
    """Computes the head's outputs."""
    return rescale(dot(hidden, head["logits"]["kernel"]) + head["logits"]["bias"], head["shifts"]["logits"])


class Pixel(NamedTuple):
    """State of a pixel. Before the first colour, all but ``contexts`` are None.

    Attributes:
      contexts: crossing plus columns to the left, per layer.
      inputs: inputs of the pixel's products, per layer.
      gated: gated features, per layer.
      neighbours: encoded pixels left, above, and above left.
      features: input of the head.
      hidden: hidden features of the head.
    """

    contexts: list[Float[Array, "batch 1 1 pair features"]]
    inputs: list[Array] | list[None]
    gated: list[Array] | list[None]
    neighbours: list[Float[Array, "batch 1 1 inputs"]]
    features: Float[Array, "batch 1 1 _"] | None = None
    hidden: Float[Array, "batch 1 1 _"] | None = None


@dataclass(frozen=True)
class IntegerStream:
    """The ``Stream`` of an ``IntegerPixelCNN``; ``read_outputs`` is for the codec."""

    model: Network

    def prepare(self, params: Params) -> Params:
        """Converts the parameters, and adds the blocks of each colour, which need no mask."""
        net = as_floats(self.model, params)
        return net | {"colours": [self._of_colour(net, colour) for colour in range(self.model.channels)]}

    def _of_colour(self, net: Params, colour: int) -> Params:
        model, head = self.model, net["head"]
        features, hidden, outputs = colour_slices(model, colour)
        inputs = [model.inputs_before(colour)] + [features.stop] * model.layers
        layers = [
            {
                "horizontal": {"kernel": layer["horizontal"]["kernel"][-1:, :before, :, features]},
                "out": colour_block(layer["out"], features.stop, features),
                "shifts": {name: x if name == "input" else x[..., features] for name, x in layer["shifts"].items()},
                "clips": {name: x[..., features] for name, x in layer["clips"].items()},
                "tables": layer["tables"],
            }
            for layer, before in zip(net["layers"], inputs, strict=True)
        ]
        shifts, clips = head["shifts"], head["clips"]
        return {
            "layers": layers,
            "head": {
                "hidden": colour_block(head["hidden"], features.stop, hidden),
                "logits": colour_block(head["logits"], hidden.stop, outputs),
                "shifts": shifts | {"hidden": shifts["hidden"][..., hidden], "logits": shifts["logits"][..., outputs]},
                "clips": {"input": clips["input"][..., : features.stop], "hidden": clips["hidden"][..., hidden]},
            },
        }

    def first_rows(self, params: Params, batch: int, width: int) -> Rows:
        above = jnp.zeros((batch, 1, width, self.model.inputs), jnp.float32)
        return Rows(above, [zero_rows(layer, above) for layer in params["layers"]])

    def read_rows(self, params: Params, rows: Rows, images: Images, condition: Condition) -> tuple[HeadOutputs, Rows]:
        """Computes head outputs of several rows in parallel."""
        x = encode_integers(self.model, params, images)
        above = jnp.concatenate([rows.last, x], axis=1)
        crossings, remembered = vertical_stack(params, above[:, :-1], rows.layers, condition)
        features = None
        for layer, crossing in zip(params["layers"], crossings, strict=True):
            inputs = into_first_layer(params, x) if features is None else into_layer(layer, features)
            left = layer["horizontal"]["kernel"].shape[0] - 1
            window = jnp.pad(inputs, ((0, 0), (0, 0), (left, 0), (0, 0)))[:, :, :-1]
            context = crossing + integer_horizontal_conv(layer, window)
            features, _ = integer_horizontal_layer(layer, inputs, context, features)
        outputs = integer_head_last(params["head"], integer_head_hidden(params["head"], cast(Array, features)))
        outputs = outputs.reshape(*images.shape, self.model.outputs)
        if self.model.linear_prediction:
            around = [y[:, 1:] for y in neighbours(above[..., 1:])]
            outputs = add_integer_prediction(self.model, outputs, differences(x[..., 1:], around))
        return outputs, Rows(above[:, -1:], remembered)

    def open_row(self, params: Params, rows: Rows, condition: Condition) -> tuple[list[Array], Rows]:
        crossings, remembered = vertical_stack(params, rows.last, rows.layers, condition)
        return [*crossings, rows.last], Rows(rows.last, remembered)

    def close_row(self, params: Params, rows: Rows, above: list[Array], row: RowValues) -> Rows:
        return rows._replace(last=encode_integers(self.model, params, row))

    def first_columns(self, params: Params, batch: int) -> Memory:
        kernels = [layer["horizontal"]["kernel"] for layer in params["layers"]]
        return [jnp.zeros((batch, 1, x.shape[0] - 1, x.shape[1]), x.dtype) for x in kernels]

    def open_pixel(self, params: Params, columns: Memory, above: list[Array], column: Index) -> Pixel:
        layers, placeholders = params["layers"], [None] * (1 + self.model.layers)
        crossings = [jax.lax.dynamic_slice_in_dim(x, column, 1, axis=2) for x in above[:-1]]
        inputs = [into_first_layer(params, columns[0]), *columns[1:]]
        contexts = [x + integer_horizontal_conv(*args) for x, *args in zip(crossings, layers, inputs, strict=True)]
        return Pixel(contexts, placeholders, placeholders, neighbours_of(columns[0], above[-1], column))

    def read_outputs(
        self, params: Params, state: Pixel, pixel: PixelValues, *, colour: int
    ) -> tuple[Float[Array, "batch outputs"], Pixel]:
        """Computes head outputs of a colour, given earlier ones in ``pixel``."""
        weights, block = params["colours"][colour], colour_slice(self.model.features, self.model.channels, colour)
        x: Array = encode_integers(self.model, params, pixel)[..., : self.model.inputs_before(colour)]
        x = into_first_layer(params, x)
        out: Any = None
        inputs, gated = [], []
        for layer, context, before, gated_before in zip(weights["layers"], *state[:3], strict=True):
            x = x if out is None else concatenate_features(before, into_layer(layer, out))
            out, now = integer_horizontal_layer(layer, x, context[..., block], out, gated_before)
            inputs.append(x)
            gated.append(now)
        features = concatenate_features(state.features, out)
        hidden = concatenate_features(state.hidden, integer_head_hidden(weights["head"], features))
        outputs = integer_head_last(weights["head"], hidden)
        if self.model.linear_prediction:
            terms = terms_of(encode_integers(self.model, params, pixel), state.neighbours, colour)
            outputs = add_integer_prediction(self.model, outputs, terms)
        return outputs[:, 0, 0], Pixel(state.contexts, inputs, gated, state.neighbours, features, hidden)

    def read_colour(self, params: Params, state: Pixel, pixel: PixelValues, *, colour: int) -> tuple[Logits, Pixel]:
        """Computes log-frequencies of a colour, given earlier ones in ``pixel``."""
        outputs, state = self.read_outputs(params, state, pixel, colour=colour)
        distribution = distribution_of(self.model, params["tables"])
        # A traced label that is no class makes the contexts NaN, which integers would lose.
        return distribution.log_frequencies(distribution.read(outputs)) + 0 * state.contexts[0][:, 0, 0, 0, :1], state

    def close_pixel(self, params: Params, columns: Memory, state: Pixel, pixel: PixelValues) -> Memory:
        finished = [encode_integers(self.model, params, pixel), *state.inputs[1:]]
        return [jnp.concatenate([memory, x], axis=2)[:, :, 1:] for memory, x in zip(columns, finished, strict=True)]
