"""A Gated PixelCNN computed in integers: every value is an integer, held exactly in float32.

float32 represents each integer up to 2**24. A sum of products that stays below it is therefore exact in any order, so
the network gives the same numbers on every machine, for every batch size, in the parallel pass and in the cached one.
``check_bounds`` proves it from the weights. ``docs/integer_codec.md`` derives the bounds; ``quantise.py`` makes the
weights.

A value with a *step* s stands for itself times 2**-s. The only operations are sums of products, ``rescale``, clips and
look-ups in stored tables.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, UInt32

from pixelcnn_jax.codec.frequencies import EXP_SIZE, Distribution, Softmax, log_of_frequency
from pixelcnn_jax.codec.logistics import ARGUMENT_RANGE, ARGUMENT_STEP, SCALE_STEP, Mixture
from pixelcnn_jax.foundation.distributions import NARROWEST, WIDEST
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.gated_pixelcnn import GatedPixelCNN
from pixelcnn_jax.models.inputs import Condition, Images, Map, Vector, check_condition, check_images, condition_of
from pixelcnn_jax.models.layers import condition_terms, rows_border, shift_down
from pixelcnn_jax.models.parameters import Bias, Params, layers_of
from pixelcnn_jax.models.products import gathered
from pixelcnn_jax.models.registry import DESCRIBED

HIGHEST = jax.lax.Precision.HIGHEST  # an accelerator would multiply float32 in fewer bits
LIMIT = 2**24  # every sum, and the offset that rounds it, stays within it

TANH_RANGE, TANH_BITS = 4, 11  # largest argument, and step of the entries
SIGMOID_RANGE, SIGMOID_BITS = 8, 12

Memory = list[Float[Array, "batch _ _ _"]]  # for each layer, the rows above or the columns left


class Precision(NamedTuple):
    """The steps of a gate: of the arguments of its two tables, and of its output."""

    tanh: int
    sigmoid: int
    gate: int

    @property
    def gate_shift(self) -> int:
        """The shift from the product of two entries to the output of a gate."""
        return TANH_BITS + SIGMOID_BITS - self.gate


SOFTMAX, MIXTURE = Precision(8, 6, 9), Precision(11, 9, 11)  # a mean of many levels needs more than a logit


def precision_of(model: GatedPixelCNN) -> Precision:
    """Returns the steps of a network's gates, which its head decides."""
    return MIXTURE if model.mixture else SOFTMAX


class IntegerPixelCNN(GatedPixelCNN):
    """A Gated PixelCNN computed in integers. ``quantise`` makes it and its variables.

    Its fields are those of ``Network``. Its parameters have the names and shapes of the float network, and in addition
    the shift of every sum (``shifts``), the clip range of every operand (``clips``) and the ``tables``. All are
    integers. An h must be one-hot. An s is rounded to the step that its shift names, so a map of integers stays as it
    is. There is no dropout.
    """

    @nn.nowrap
    def parameter_shapes(self, condition: Condition) -> Params:
        shapes, pair, width = super().parameter_shapes(condition), (2, self.features), self.head_width

        def layer(name: str) -> Params:
            shifts = {"crossing": pair, "vertical": pair, "horizontal": pair, "out": (self.features,)}
            clips = {"crossing": pair, "residual": (self.features,)}
            if name == "layers":
                shifts, clips = shifts | {"copy": ()}, clips | {"copy": (self.features,)}
            return shapes[name] | _sizes(shifts=shifts, clips=clips)

        head = _sizes(
            shifts={"copy": (), "hidden": (width,), "logits": (self.channels * self.outputs,)},
            clips={"copy": (self.features,), "hidden": (width,)},
        )
        precision = precision_of(self)
        tables = {
            "tanh": (_entries(precision.tanh, TANH_RANGE),),
            "sigmoid": (_entries(precision.sigmoid, SIGMOID_RANGE),),
            "exp": (EXP_SIZE,),
        }
        if self.mixture:
            scales = (int(WIDEST - NARROWEST) << SCALE_STEP) + 1
            tables |= {
                "logistic": (_entries(ARGUMENT_STEP, ARGUMENT_RANGE),),
                "slopes": (scales,),
                "slope_shifts": (scales,),
            }
        integer_parts = {"strict": layer("strict"), "layers": layer("layers"), "head": shapes["head"] | head}
        if condition.s is not None:
            integer_parts["map"] = _sizes(shifts={"s": ()}, clips={"s": (condition.s.shape[-1],)})
        return shapes | integer_parts | _sizes(tables=tables)

    def __call__(
        self, images: Images, h: Vector | None = None, s: Map | None = None, *, deterministic: bool = True
    ) -> Float[Array, "batch height width channels levels"]:
        """Returns the log-frequency of every level of every sub-pixel."""
        if self.is_initializing():
            return super().__call__(images, h, s, deterministic=deterministic)
        distribution, outputs = self.integer_outputs(images, Condition(h, s))
        return distribution.log_frequencies(distribution.read(outputs))

    def log_probs(
        self, images: Images, condition: Condition, *, deterministic: bool = True
    ) -> Float[Array, "batch height width channels"]:
        """Returns the log of the frequency of every sub-pixel's value, in nats: what coding it costs."""
        distribution, outputs = self.integer_outputs(images, condition)
        _, frequencies = distribution.interval(distribution.read(outputs), images)
        return log_of_frequency(frequencies, distribution.total_bits)

    def intervals(
        self, images: Images, condition: Condition, *, width: Array | int | None = None, dtype: Any = jnp.float32
    ) -> tuple[UInt32[Array, "batch height width channels"], UInt32[Array, "batch height width channels"]]:
        """Returns the sum of the frequencies below every sub-pixel's value, and the frequency of the value.

        Images may be padded below and, if ``width`` is the width without padding, to the right. Padding changes no
        result.
        float64 gives the same integers, and holds sums far above the bound: it is there to test float32.
        """
        distribution, outputs = self.integer_outputs(images, condition, width=width, dtype=dtype)
        return distribution.interval(distribution.read(outputs), images)

    def integer_outputs(
        self, images: Images, condition: Condition, *, width: Array | int | None = None, dtype: Any = jnp.float32
    ) -> tuple[Distribution, Float[Array, "batch height width channels outputs"]]:
        """Returns the distribution of the outputs, and the head's outputs for every sub-pixel, by one parallel pass."""
        check_images(images, channels=self.channels, levels=self.levels)
        params = dict(self.variables["params"])
        check_condition(params, condition, images.shape)
        net = prepare(self, params, dtype)
        if width is not None:
            net["inside"] = inside(images.shape[2], width, dtype)
        x = encode_integers(self, net, images)
        condition = jax.tree.map(lambda x: jnp.asarray(x, dtype), condition)
        crossings, _ = vertical_stack(net, shift_down(x), [rows_border(layer, x) for layer in net["layers"]], condition)
        features = horizontal_stack(net["layers"], x, crossings)
        outputs = head_last(net["head"], head_hidden(net["head"], features)).reshape(*images.shape, self.outputs)
        return distribution_of(self, net["tables"]), outputs

    @property
    def total_bits(self) -> int:
        """The frequencies of the levels of a sub-pixel sum to two to this power."""
        return (Mixture if self.mixture else Softmax).total_bits

    @nn.nowrap
    def check_given(self, condition: Condition) -> None:
        check_one_hot(condition.h)

    @nn.nowrap
    def stream(self) -> Any:
        from pixelcnn_jax.codec.integer_stream import IntegerStream  # it imports this module

        return IntegerStream(self)


DESCRIBED[IntegerPixelCNN.__name__] = IntegerPixelCNN  # cards name it


def distribution_of(model: GatedPixelCNN, tables: Params) -> Distribution:
    """Returns the distribution that converts the outputs of the head to frequencies."""
    if not model.mixture:
        return Softmax(tables["exp"])
    return Mixture(model.levels, *(tables[name] for name in ("exp", "logistic", "slopes", "slope_shifts")))


def _entries(step: int, reach: int) -> int:
    return 2 * (reach << step) + 1


def _sizes(**groups: Mapping[str, tuple[int, ...]]) -> Params:
    return {group: {name: Bias(size) for name, size in sizes.items()} for group, sizes in groups.items()}


def prepare(model: GatedPixelCNN, params: Params, dtype: Any = jnp.float32) -> Params:
    """Returns the parameters as the stacks read them: a list of layers in floating point, shifts as powers of two."""

    def one(path: tuple[jax.tree_util.DictKey, ...], x: Array) -> Array:
        names = [entry.key for entry in path]
        if names[0] == "shifts":  # 2**-k, by its exponent: exp2 may round
            x = jax.lax.bitcast_convert_type((127 - jnp.asarray(x, jnp.int32)) << 23, jnp.float32)
        x = jnp.asarray(x, dtype)
        is_kernel = names[-1] == "kernel" or condition_of(names[-1])
        return x if is_kernel else x.reshape(1, 1, 1, *(x.shape or (1,)))

    others = {name: part for name, part in params.items() if name not in ("strict", "layers", "tables")}
    layers, net = (
        jax.tree.map_with_path(lambda path, x: one(path[1:], x), part)
        for part in (layers_of(params, model.layers), others)
    )
    types = {"exp": jnp.uint32, "logistic": jnp.uint32, "slopes": jnp.int32, "slope_shifts": jnp.int32}
    tables = {name: jnp.asarray(x, types.get(name, dtype)) for name, x in params["tables"].items()}
    tables["gate"] = jnp.asarray(2.0 ** -precision_of(model).gate_shift, dtype)
    return net | {"layers": [layer | {"tables": tables} for layer in layers], "tables": tables}


def inside(columns: int, width: Array | int, dtype: Any = jnp.float32) -> Float[Array, "1 1 columns 1"]:
    """Returns 1 for the columns of an image and 0 for those that pad it."""
    return (jnp.arange(columns) < width).astype(dtype)[None, None, :, None]


def encode_integers(model: GatedPixelCNN, net: Params, images: Images) -> Float[Array, "batch height width inputs"]:
    """Returns the input of the strict layer: a constant 1, then 2 x - (levels - 1) or the code of each channel."""
    if model.code_features:
        values = net["embedding"]["kernel"][jnp.arange(model.channels), images].reshape(*images.shape[:3], -1)
    else:
        values = 2 * jnp.asarray(images).astype(net["head"]["logits"]["kernel"].dtype) - (model.levels - 1)
    return jnp.concatenate([jnp.ones_like(values[..., :1]), values], axis=-1)


def dot(
    x: Float[Array | np.ndarray, "..."], kernel: Float[Array | np.ndarray, "..."], axes: int = 1
) -> Float[Array, "..."]:
    """Returns sums of products, all in float32."""
    return jnp.tensordot(x, kernel, axes=axes, precision=HIGHEST)


def exact_product(
    window: Float[Array, "batch rows columns features"],
    kernel: Float[Array, "kernel_rows kernel_columns features pair out"],
) -> Float[Array, "batch new_rows new_columns pair out"]:
    """Returns the VALID product of a kernel with every position of a window.

    Winograd's and Fourier's algorithms, which convolutions may use, are not exact. Only several rows in float32 on a
    CPU are convolved: XLA sums the products there, in less time, and compress tests each shape against float64.
    """
    rows, columns, _, *out = kernel.shape

    def gathered_product(window: Array, kernel: Array) -> Array:
        return dot(gathered(window, rows, columns), kernel.reshape(-1, *out))

    def convolved(window: Array, kernel: Array) -> Array:
        flat = kernel.reshape(*kernel.shape[:3], -1)
        layout = ("NHWC", "HWIO", "NHWC")
        sums = jax.lax.conv_general_dilated(window, flat, (1, 1), "VALID", dimension_numbers=layout, precision=HIGHEST)
        return sums.reshape(*sums.shape[:3], *out)

    if window.shape[1] == rows or window.dtype != jnp.float32:
        return gathered_product(window, kernel)
    return jax.lax.platform_dependent(window, kernel, cpu=convolved, default=gathered_product)


def rescale(sums: Float[Array, "..."], power: Float[Array, "..."] | float) -> Float[Array, "..."]:
    """Returns floor(sums 2**-k + 1/2) for a power 2**-k. For integers and k >= 1 it is exact."""
    return jnp.floor(sums * power + 0.5)


def clipped(x: Float[Array, "..."], reach: Float[Array, "..."]) -> Float[Array, "..."]:
    """Returns x clipped to [-reach, reach]."""
    return jnp.clip(x, -reach, reach)


def gate(
    layer: Params, sums: Float[Array, "batch height width pair features"], stack: str
) -> Float[Array, "batch height width features"]:
    """Returns the gated activation unit of a stack's sums, by two stored tables."""
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
    """Advances the vertical stack by some rows. Returns what crosses over in every layer, and the new memory.

    ``net["inside"]``, if there is one, makes columns that pad the images zero, as they are beyond the border.
    """
    crossings, remembered = [], []
    if condition.s is not None:
        rounded = clipped(rescale(jnp.asarray(condition.s), net["map"]["shifts"]["s"]), net["map"]["clips"]["s"])
        condition = condition._replace(s=rounded)
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
    """Returns the features that the head reads, of all colours at once."""
    features = None
    for layer, crossing in zip(layers, crossings, strict=True):
        x = x if features is None else into_layer(layer, features)
        left = layer["horizontal"]["kernel"].shape[0] - 1
        window = jnp.pad(x, ((0, 0), (0, 0), (left, 0), (0, 0)))[:, :, :-1]
        features, _ = horizontal_half(layer, x, crossing + columns_left(layer, window), features)
    assert features is not None  # there is a strict layer
    return features


def columns_left(layer: Params, window: Float[Array, "batch height _ features"]) -> Float[Array, "..."]:
    """Returns the product of the columns left of a pixel. A window starts before the first and ends before the last."""
    return exact_product(window, layer["horizontal"]["kernel"][None, :-1])


def into_layer(layer: Params, features: Float[Array, "batch height width _"]) -> Float[Array, "batch height width _"]:
    """Returns features as a layer multiplies them, at their step and within their clip range."""
    return clipped(rescale(features, layer["shifts"]["copy"]), layer["clips"]["copy"])


def horizontal_half(
    layer: Params,
    x: Float[Array, "batch height width inputs"],
    context: Float[Array, "batch height width pair group"],
    features: Float[Array, "batch height width group"] | None,
    gated: Float[Array, "batch height width earlier"] | None = None,
) -> tuple[Float[Array, "batch height width group"], Float[Array, "batch height width known"]]:
    """Computes the pixel's own products, the gate and the residual, of all colours or, in decoding, of one.

    Args:
      layer: the layer, its kernels cut to what leads to the colours computed.
      x: the input of the pixel's product.
      context: what crosses over, and the columns to the left.
      features: the features so far; None in the strict layer.
      gated: the gated features of earlier colours.

    Returns:
      The new features, and the gated features with those of earlier colours.
    """
    new = gate(layer, context + dot(x, layer["horizontal"]["kernel"][-1]), "horizontal")
    gated = append(gated, new)
    out = rescale(dot(gated, layer["out"]["kernel"]) + layer["out"]["bias"], layer["shifts"]["out"])
    return clipped(out if features is None else features + out, layer["clips"]["residual"]), gated


def append(earlier: Array | None, new: Array) -> Array:
    """Returns the features of a colour after those of earlier colours."""
    return new if earlier is None else jnp.concatenate([earlier, new], axis=-1)


def head_hidden(head: Params, features: Float[Array, "batch height width _"]) -> Float[Array, "batch height width _"]:
    """Returns the features between the two 1x1 of the head. Clips from 0 are the ReLUs."""
    known = jnp.clip(rescale(features, head["shifts"]["copy"]), 0, head["clips"]["copy"])
    sums = dot(known, head["hidden"]["kernel"]) + head["hidden"]["bias"]
    return jnp.clip(rescale(sums, head["shifts"]["hidden"]), 0, head["clips"]["hidden"])


def head_last(head: Params, hidden: Float[Array, "batch height width _"]) -> Float[Array, "batch height width outputs"]:
    """Returns the outputs, each rounded to its step."""
    return rescale(dot(hidden, head["logits"]["kernel"]) + head["logits"]["bias"], head["shifts"]["logits"])


def check_one_hot(h: Array | np.ndarray | None) -> None:
    """Raises InputError for an h that is not one-hot. Traced values are not checked."""
    if h is not None and not isinstance(h, jax.core.Tracer):
        rows = np.asarray(h)
        if not np.isin(rows, (0, 1)).all() or (rows.sum(axis=-1) > 1).any():
            raise InputError("h must be one-hot: the exactness bound allows at most one non-zero entry per image.")
