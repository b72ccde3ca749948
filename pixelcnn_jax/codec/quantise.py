"""Post-training quantisation of a Gated PixelCNN to its integer model."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pixelcnn_jax.codec.bounds import check_bounds, input_range
from pixelcnn_jax.codec.fit import (
    Operand,
    Range,
    Statistics,
    Sum,
    finest_operand_step,
    fit_sum,
    in_16_bits,
    range_of,
    step_within,
)
from pixelcnn_jax.codec.frequencies import MAX_LEVELS
from pixelcnn_jax.codec.integer import IntegerPixelCNN, check_one_hot
from pixelcnn_jax.codec.integer_layers import Precision, precision_of
from pixelcnn_jax.codec.tables import make_tables, output_units
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.autoregressive import encode, head_hidden
from pixelcnn_jax.models.colours import masked
from pixelcnn_jax.models.conditioning.conditional import ConditionalModel, ConstantCondition, apply_conditioner, part_of
from pixelcnn_jax.models.gated_pixelcnn import GatedPixelCNN, horizontal_rows, rows_border
from pixelcnn_jax.models.inputs import (
    Condition,
    Images,
    ImagesLike,
    Map,
    Variables,
    Vector,
    as_images,
    condition_of,
    params_of,
)
from pixelcnn_jax.models.layers import shift_down, vertical_half
from pixelcnn_jax.models.parameters import Params, layers_of
from pixelcnn_jax.models.registry import build, describe

BATCH = 50  # calibration batch size
RESIDUAL = 2**16  # about the largest value of the residual stream
GIVEN = 2**9  # about the largest value of a map and of an embedded code


def quantise(
    model: GatedPixelCNN | ConditionalModel,
    variables: Variables,
    images: ImagesLike,
    *,
    h: Vector | None = None,
    s: Map | None = None,
) -> tuple[IntegerPixelCNN, dict[str, Any]]:
    """Quantises a trained network, calibrated on a few hundred images.

    Args:
      model: network with a softmax or mixture of logistics. A constant condition is folded into the biases.
      variables: its variables.
      images: images typical of those to be compressed.
      h: their one-hot condition [count, condition].
      s: their maps [count, height, width, map_features]. Maps are rounded to about a thousand values and clipped to
        1.5 times the largest here; integers up to 341 stay exact.

    Raises:
      InputError: for unsupported arguments, or a sum that cannot be bounded.
    """
    if isinstance(model, ConditionalModel) and isinstance(model.conditioner, ConstantCondition):
        model, variables = _with_constant_h(model, variables)
    if type(model) is not GatedPixelCNN or model.levels > MAX_LEVELS:
        raise InputError(
            f"model must be a GatedPixelCNN with at most {MAX_LEVELS} levels: other networks have no integer form."
        )
    images = as_images(images, channels=model.channels, levels=model.levels)
    model = model.clone(dropout=0.0, dtype="float32", remat=False)
    _, variables, condition = apply_conditioner(model, variables, h, s, shape=images.shape)
    check_one_hot(condition.h)
    params = params_of(variables)
    integer_model = build(describe(model) | {"class": IntegerPixelCNN.__name__})
    seen: Params = {}
    for start in range(0, len(images), BATCH):
        part, h_and_s = jax.tree.map(lambda x, start=start: x[start : start + BATCH], (images, condition))
        new = jax.tree.map(lambda x: np.asarray(x, np.float64), _statistics(model, params, part, h_and_s))
        share = len(part) / (start + len(part))
        seen = jax.tree.map(partial(Statistics.merge, share=share), seen, new, is_leaf=_are_statistics) if seen else new
    exact = jax.tree.map(lambda x: np.asarray(x, np.float64), masked(model, params))
    if not all(np.isfinite(x).all() for x in jax.tree.leaves((exact, seen))):
        raise InputError("variables must be finite: the model has NaN or infinity on these images.")
    quantised = {"params": jax.tree.map(in_16_bits, _quantise_params(model, exact, seen))}
    check_bounds(integer_model, quantised)
    return integer_model, quantised


def _with_constant_h(model: ConditionalModel, variables: Variables) -> tuple[GatedPixelCNN, Variables]:
    """Adds V h of a constant h to the biases."""
    params = params_of(part_of(variables, "network"))

    def folded(layer: Params) -> Params:
        parts = {name: x for name, x in layer.items() if not condition_of(name)}
        terms = {name: layer[f"{name}_h"][..., model.conditioner.index, :, :] for name in ("vertical", "horizontal")}
        # The crossing is taken before V h is added.
        terms["horizontal"] -= jnp.einsum("...gp,...gphq->...hq", terms["vertical"], layer["crossing"]["kernel"])
        return parts | {name: parts[name] | {"bias": parts[name]["bias"] + x} for name, x in terms.items()}

    return model.network, {"params": params | {name: folded(params[name]) for name in ("first", "layers")}}


def _are_statistics(x: Any) -> bool:
    return isinstance(x, Statistics)


@jax.jit(static_argnums=0)
def _statistics(model: GatedPixelCNN, params: Params, images: Images, condition: Condition) -> Params:
    """Collects per-channel statistics of rounded quantities."""
    net = masked(model, params)
    x = encode(model, net, images)
    vertical = shift_down(x)
    layers: list[Params] = []
    for layer in layers_of(net, model.layers):
        parts = {"above": vertical, "own_row": x}
        above = vertical_half(layer, vertical, rows_border(layer, vertical), condition)
        vertical = above.out
        x, gated = horizontal_rows(layer, x, above.crossing, residual=bool(layers))
        layers.append({**parts, "crossing": above.sums, "gated": gated, "residual": x})
    result = {"layers": layers, "input": jax.nn.relu(x), "hidden": head_hidden(net["head"], x)}
    if condition.s is not None:
        result["condition"] = condition.s

    def seen(x: Array) -> Statistics:
        axes = (0, 1, 2)
        mean = jnp.mean(x, axis=axes, keepdims=True)
        centred = (x - mean).reshape(-1, mean.size)
        return Statistics(jnp.max(jnp.abs(x), axis=axes), mean[0, 0, 0], centred.T @ centred / len(centred))

    return jax.tree.map(seen, result)


def _quantise_params(model: GatedPixelCNN, params: Params, seen: Params) -> Params:
    """Quantises all parameters, in float64."""
    residual_step = step_within(np.concatenate([one["residual"].largest for one in seen["layers"]]), RESIDUAL)
    common: Params = {}
    unit = np.full(model.channels, 1 / (model.levels - 1))  # inputs are 1 and 2 x - (levels - 1)
    if model.code_features:
        table = params["embedding"]["kernel"]
        step = step_within(np.abs(table), GIVEN)
        common["embedding"] = {"kernel": np.rint(table * 2.0**step)}
        unit = np.full(model.channels * model.code_features, 2.0**-step)
    given = None
    if "condition" in seen:
        step, reach = range_of(seen["condition"], step_within(seen["condition"].largest, GIVEN))
        reach = np.full(reach.shape, reach.max())
        given = seen["condition"], (step, reach)
        common["condition"] = {"shifts": {"s": -step}, "clips": {"s": reach}}
    first = Inputs((0, input_range(model, common)), np.append(1.0, unit)[:, None, None])
    precision = precision_of(model)
    layers = [
        _quantise_layer(layer, now, first if index == 0 else None, given, precision, residual_step)
        for index, (layer, now) in enumerate(zip(layers_of(params, model.layers), seen["layers"], strict=True))
    ]
    return {
        "first": layers[0],
        "layers": jax.tree.map(lambda *x: np.stack(x), *layers[1:]),
        "head": _quantise_head(model, params["head"], seen, residual_step),
        "tables": make_tables(model),
        **common,
    }


class Inputs(NamedTuple):
    """Step, clip range and unit values of the first layer's inputs."""

    range: Range
    unit: np.ndarray

    def operand(self, kernel: np.ndarray, seen: Statistics) -> Operand:
        return Operand(kernel * self.unit, seen.scaled(1 / self.unit.ravel()), self.range)


def _quantise_layer(
    layer: Params,
    seen: Params,
    inputs: Inputs | None,
    given: tuple[Statistics, Range] | None,
    precision: Precision,
    residual_step: int,
) -> Params:
    """Quantises a layer.

    Args:
      layer, seen: parameters and statistics.
      inputs: input operand, in the first layer.
      given: statistics and range of s.
      residual_step: step of the residual stream.
    """
    result: Params = {}

    def with_map(name: str, operands: dict[str, Operand]) -> dict[str, Operand]:
        kernel = layer.get(f"{name}_s")
        return operands if given is None or kernel is None else operands | {f"{name}_s": Operand(kernel, *given)}

    def fit(name: str, operands: dict[str, Operand], steps: Any) -> Sum:
        fitted = fit_sum([*operands.values()], layer[name]["bias"], steps, layer.get(f"{name}_h"))
        for part, kernel in zip(operands, fitted.kernels, strict=True):
            result[part] = kernel if part.endswith("_s") else {"kernel": kernel}
        result[name]["bias"] = fitted.bias
        if fitted.h is not None:
            result[f"{name}_h"] = fitted.h
        return fitted

    gated = precision.gate, np.array(2**precision.gate)
    gate_steps = np.array([[precision.tanh], [precision.sigmoid]])
    across = np.concatenate([layer["horizontal"]["left"], layer["horizontal"]["pixel"][None]])
    if inputs is None:
        above = Operand(layer["vertical"]["kernel"], seen["above"], gated)
        own_row = Operand(across, seen["own_row"], most=residual_step - 1, shared=True)
    else:
        above = inputs.operand(layer["vertical"]["kernel"], seen["above"])
        own_row = inputs.operand(across, seen["own_row"])
    read_above = with_map("vertical", {"vertical": above})
    most = finest_operand_step([*read_above.values()], layer["vertical"]["bias"], layer.get("vertical_h"))
    crossing = Operand(layer["crossing"]["kernel"], seen["crossing"], most=most)
    read = with_map("horizontal", {"crossing": crossing, "horizontal": own_row})
    horizontal = fit("horizontal", read, gate_steps)
    (crossing_step, crossing_reach), (own_step, own_reach), *_ = horizontal.ranges
    vertical = fit("vertical", read_above, np.stack(np.broadcast_arrays(gate_steps, crossing_step)))
    out = fit("out", with_map("out", {"out": Operand(layer["out"]["kernel"], seen["gated"], gated)}), residual_step)
    shifts = {
        "crossing": vertical.step - crossing_step,
        "vertical": vertical.step - gate_steps,
        "horizontal": horizontal.step - gate_steps,
        "out": out.step - residual_step,
    }
    clips = {"crossing": crossing_reach, "residual": range_of(seen["residual"], residual_step)[1]}
    if inputs is None:
        shifts["input"], clips["input"] = residual_step - own_step, own_reach
    return result | {"shifts": shifts, "clips": clips}


def _quantise_head(model: GatedPixelCNN, head: Params, seen: Params, residual_step: int) -> Params:
    units, offsets, goals = output_units(model)
    copy = Operand(head["hidden"]["kernel"], seen["input"], most=residual_step - 1, shared=True)
    kernel = head["logits"]["kernel"] * units
    last = Operand(kernel, seen["hidden"], most=finest_operand_step([copy], head["hidden"]["bias"]))
    logits = fit_sum([last], head["logits"]["bias"] * units + offsets, goals)
    ((hidden_step, hidden_reach),) = logits.ranges
    importance = (kernel**2 * 4.0**goals).sum(axis=1)
    hidden = fit_sum([copy], head["hidden"]["bias"], hidden_step, importance=importance)
    ((copy_step, copy_reach),) = hidden.ranges
    return {
        "hidden": {"kernel": hidden.kernels[0], "bias": hidden.bias},
        "logits": {"kernel": logits.kernels[0], "bias": logits.bias},
        "shifts": {
            "input": residual_step - copy_step,
            "hidden": hidden.step - hidden_step,
            "logits": logits.step - goals,
        },
        "clips": {"input": copy_reach, "hidden": hidden_reach},
    }
