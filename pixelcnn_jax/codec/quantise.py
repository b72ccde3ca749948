"""From a float Gated PixelCNN to its integer model, after training and within seconds.

Every output channel of every sum gets the largest power-of-two scale for which the sum cannot exceed 2**24. Operands
have 8 to 12 bits; weights then get 10 to 13, and those of the first layer more. ``check_bounds`` verifies the result
from its integers alone, as ``load_pretrained`` does with a model from disk.
"""

from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pixelcnn_jax.codec import integer
from pixelcnn_jax.codec.bounds import check_bounds, input_range
from pixelcnn_jax.codec.fit import MARGIN, Operand, Range, fit_sum, narrow, operand_step
from pixelcnn_jax.codec.frequencies import MAX_LEVELS
from pixelcnn_jax.codec.integer import IntegerPixelCNN, check_one_hot
from pixelcnn_jax.codec.tables import make_tables, output_units
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.arguments import validate_arguments
from pixelcnn_jax.models.autoregressive import encode, head_hidden
from pixelcnn_jax.models.conditioning.conditional import resolve
from pixelcnn_jax.models.gated_pixelcnn import GatedPixelCNN, horizontal_rows, masked, rows_border
from pixelcnn_jax.models.inputs import Condition, Images, Map, Variables, Vector, check_images, check_values, params_of
from pixelcnn_jax.models.layers import shift_down, vertical_half
from pixelcnn_jax.models.parameters import Params, layers_of
from pixelcnn_jax.models.registry import build, describe

SCORED = 50  # images that choose among ranges


class Ranges(NamedTuple):
    """Approximate largest values of the operands, and the finest step that any operand may have."""

    crossing: int
    copy: int
    head: int
    hidden: int
    residual: int
    step: int


# Each bit given to an operand is taken from its weights. The best split depends on the width of the network.
RANGES = {
    integer.SOFTMAX: (Ranges(2**9, 2**9, 2**11, 2**11, 2**15, 12),),
    integer.MIXTURE: tuple(Ranges(2 * copy, copy, 2**13, 2**12, 2**16, 16) for copy in (2**12, 2**11, 2**10)),
}


@validate_arguments
def quantise(
    model: GatedPixelCNN,
    variables: Variables,
    images: Images,
    *,
    h: Vector | None = None,
    s: Map | None = None,
) -> tuple[IntegerPixelCNN, dict[str, Any]]:
    """Returns the integer model of a trained network, and its variables. ``save_pretrained`` stores both.

    Args:
      model: a network with a softmax over intensities or codes, or with a mixture of logistics.
      variables: its variables.
      images: a few hundred images typical of those to be compressed. They determine the clip ranges.
      h: their one-hot condition [count, condition], for a model made with one.
      s: their maps [count, height, width, map_features], for a model made with one. The integer model rounds a map to
        about a thousand values, multiples of a power of two, and clips it to 1.5 times the largest value seen here.
        Integers up to 341 stay as they are.

    Raises:
      InputError: for a model, images, h or s of a different kind, and if a sum cannot be bounded.
    """
    if not has_integer_form(model):
        raise InputError(
            f"model must be a GatedPixelCNN with at most {MAX_LEVELS} levels: other networks have no integer form."
        )
    check_images(images, channels=model.channels, levels=model.levels)
    check_values(images, model.levels)
    if not images.size:
        raise InputError(f"images must not be empty, got shape {list(images.shape)}.")
    model = model.clone(dropout=0.0, dtype="float32", remat=False)
    _, variables, condition = resolve(model, variables, h, s, shape=images.shape)
    check_one_hot(condition.h)
    params = params_of(variables)
    integer_model = build(describe(model) | {"class": IntegerPixelCNN.__name__})
    seen = None
    for start in range(0, len(images), 50):
        part = jax.tree.map(lambda x, start=start: x[start : start + 50], condition)
        result = _ranges(model, params, images[start : start + 50], part)
        seen = result if seen is None else jax.tree.map(jnp.maximum, seen, result)
    exact, seen = jax.tree.map(lambda x: np.asarray(x, np.float64), (masked(model, params), seen))
    choices = [_quantise_params(model, exact, seen, ranges) for ranges in RANGES[integer.precision_of(model)]]
    part = jax.tree.map(lambda x: x[:SCORED], (images, condition))
    best = max(choices, key=lambda one: _score(integer_model, one, *part)) if len(choices) > 1 else choices[0]
    quantised = {"params": jax.tree.map(narrow, best)}
    check_bounds(integer_model, quantised)
    return integer_model, quantised


def _score(model: IntegerPixelCNN, params: Params, images: Images, condition: Condition) -> float:
    """Returns the log-likelihood of images under integers in float64."""
    variables = {"params": jax.tree.map(lambda x: np.asarray(x, np.int32), params)}
    return float(_log_prob(model, variables, images, condition))


@jax.jit(static_argnums=0)
def _log_prob(model: IntegerPixelCNN, variables: Variables, images: Images, condition: Condition) -> Array:
    return jnp.sum(cast(Array, model.apply(variables, images, condition, method="log_probs")))


def has_integer_form(model: nn.Module) -> bool:
    """Returns whether ``quantise`` takes a network."""
    return type(model) is GatedPixelCNN and model.levels <= MAX_LEVELS


@jax.jit(static_argnums=0)
def _ranges(model: GatedPixelCNN, params: Params, images: Images, condition: Condition) -> Params:
    """Returns the largest magnitude of every quantity that is clipped, by channel."""
    net = masked(model, params)
    x = encode(model, net, images)
    vertical = shift_down(x)
    layers: list[Params] = []
    for layer in layers_of(net, model.layers):
        above = vertical_half(layer, vertical, rows_border(layer, vertical), condition)
        vertical, x = above.out, horizontal_rows(layer, x, above.crossing, residual=bool(layers))
        layers.append({"crossing": above.sums, "residual": x})
    result = {"layers": layers, "copy": jax.nn.relu(x), "hidden": head_hidden(net["head"], x)}
    if condition.s is not None:
        result["map"] = condition.s
    return jax.tree.map(lambda x: jnp.max(jnp.abs(x), axis=(0, 1, 2)), result)


def _quantise_params(model: GatedPixelCNN, params: Params, seen: Params, ranges: Ranges) -> Params:
    """Returns the integers of all parameters, from float64."""
    residual = np.concatenate([one["residual"] for one in seen["layers"]])
    residual_step, _ = operand_step(residual, ranges.residual, most=ranges.step)
    common, scale = _quantise_inputs(model, params, seen, ranges)
    precision = integer.precision_of(model)
    gated = precision.gate, np.array(2**precision.gate)
    above = own_row = (0, input_range(model, common))  # step and clip range of what a layer reads
    layers: list[Params] = []
    for layer, now in zip(layers_of(params, model.layers), seen["layers"], strict=True):
        crossing = operand_step(now["crossing"], ranges.crossing, most=ranges.step)
        operands = Operands(above, own_row, crossing, gated, scale, common.get("map"))
        result = _quantise_layer(layer, now, operands, precision, residual_step)
        if layers:
            result["shifts"]["copy"], result["clips"]["copy"] = residual_step - own_row[0], own_row[1]
        layers.append(result)
        above, own_row = gated, operand_step(now["residual"], ranges.copy, most=min(ranges.step, residual_step - 1))
        scale = np.ones(model.features)
    return {
        "strict": layers[0],
        "layers": jax.tree.map(lambda *x: np.stack(x), *layers[1:]),
        "head": _quantise_head(model, params["head"], seen, ranges, residual_step),
        "tables": make_tables(model),
        **common,
    }


class Operands(NamedTuple):
    """The inputs of a layer's sums.

    Attributes:
      above, own_row: step and clip range of the inputs of the vertical and the horizontal kernel.
      crossing, gated: those of the copy of the vertical sums, and of the outputs of a gate.
      unit: the value of one unit of each of the layer's inputs.
      map: shift and clip range of s.
    """

    above: Range
    own_row: Range
    crossing: Range
    gated: Range
    unit: np.ndarray
    map: Params | None


def _quantise_layer(
    layer: Params, now: Params, inputs: Operands, precision: integer.Precision, residual_step: int
) -> Params:
    """Returns the integers of a layer.

    Args:
      layer, now: its parameters, and the largest magnitudes that calibration saw in it.
      inputs: what its sums read.
      precision: the steps of its gates.
      residual_step: the step of the sums that pass from layer to layer.
    """
    crossing, unit, map_ = inputs.crossing, inputs.unit[:, None, None], inputs.map
    gate_steps = np.array([[precision.tanh], [precision.sigmoid]])
    across = np.concatenate([layer["horizontal"]["left"], layer["horizontal"]["pixel"][None]])
    operands: dict[str, dict[str, Operand]] = {  # of each sum, by the kernels that read them
        "vertical": {"vertical": (layer["vertical"]["kernel"] * unit, *inputs.above)},
        "horizontal": {
            "crossing": (layer["crossing"]["kernel"], *crossing),
            "horizontal": (across * unit, *inputs.own_row),
        },
        "out": {"out": (layer["out"]["kernel"], *inputs.gated)},
    }
    both = np.stack(np.broadcast_arrays(gate_steps, crossing[0]))
    goals = {"vertical": both, "horizontal": gate_steps, "out": residual_step}
    result: Params = {}
    steps: dict[str, np.ndarray] = {}
    for name, read in operands.items():
        if map_ is not None and f"{name}_s" in layer:
            read[f"{name}_s"] = (layer[f"{name}_s"], -map_["shifts"]["s"], map_["clips"]["s"])
        kernels, bias, h, steps[name] = fit_sum(
            [*read.values()], layer[name]["bias"], goals[name], layer.get(f"{name}_h")
        )
        result |= {part: x if part.endswith("_s") else {"kernel": x} for part, x in zip(read, kernels, strict=True)}
        result[name]["bias"] = bias
        result |= {} if h is None else {f"{name}_h": h}
    return result | {
        "shifts": {
            "crossing": steps["vertical"] - crossing[0],
            "vertical": steps["vertical"] - gate_steps,
            "horizontal": steps["horizontal"] - gate_steps,
            "out": steps["out"] - residual_step,
        },
        "clips": {"crossing": crossing[1], "residual": np.ceil(now["residual"] * MARGIN * 2.0**residual_step)},
    }


def _quantise_inputs(
    model: GatedPixelCNN, params: Params, seen: Params, ranges: Ranges
) -> tuple[Params, Float[np.ndarray, " inputs"]]:
    """Returns the integers of the embedding and of the map's range, and the value of one unit of each input."""
    common: Params = {}
    units = np.full(model.channels, 1 / (model.levels - 1))  # inputs are 1 and 2 x - (levels - 1)
    if model.code_features:
        table = params["embedding"]["kernel"]
        step, _ = operand_step(np.abs(table), ranges.copy, most=ranges.step)
        common["embedding"] = {"kernel": np.rint(table * 2.0**step)}
        units = np.full(model.channels * model.code_features, 2.0**-step)
    if "map" in seen:
        step, reach = operand_step(seen["map"], ranges.copy, most=ranges.step)
        common["map"] = {"shifts": {"s": -step}, "clips": {"s": np.full(reach.shape, reach.max())}}
    return common, np.append(1.0, units)


def _quantise_head(model: GatedPixelCNN, head: Params, seen: Params, ranges: Ranges, residual_step: int) -> Params:
    known, known_reach = operand_step(seen["copy"], ranges.head, most=min(ranges.step, residual_step - 1))
    hidden, hidden_reach = operand_step(seen["hidden"], ranges.hidden, most=ranges.step)
    (first,), bias, _, step = fit_sum([(head["hidden"]["kernel"], known, known_reach)], head["hidden"]["bias"], hidden)
    units, offsets, goals = output_units(model)
    operand = head["logits"]["kernel"] * units, hidden, hidden_reach
    (last,), last_bias, _, last_step = fit_sum([operand], head["logits"]["bias"] * units + offsets, goals)
    return {
        "hidden": {"kernel": first, "bias": bias},
        "logits": {"kernel": last, "bias": last_bias},
        "shifts": {"copy": residual_step - known, "hidden": step - hidden, "logits": last_step - goals},
        "clips": {"copy": known_reach, "hidden": hidden_reach},
    }
