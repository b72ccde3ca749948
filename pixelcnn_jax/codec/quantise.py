"""From a float Gated PixelCNN to its integer model, after training and within seconds.

Every output channel of every sum gets the largest power-of-two scale for which the sum cannot exceed 2**24. Operands
have 8 to 12 bits; weights then get 10 to 13, and those of the first layer more. ``check_bounds`` verifies the result
from its integers alone, as ``load_pretrained`` does with a model from disk.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pixelcnn_jax.codec import integer
from pixelcnn_jax.codec.bounds import check_bounds, input_range, largest_sums
from pixelcnn_jax.codec.frequencies import EXP_SIZE, LOGIT_STEP, MAX_LEVELS, TOTAL_BITS
from pixelcnn_jax.codec.integer import LIMIT, IntegerPixelCNN, check_one_hot
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.arguments import public
from pixelcnn_jax.models.autoregressive import encode, head_hidden
from pixelcnn_jax.models.conditioning.conditional import resolve
from pixelcnn_jax.models.gated_pixelcnn import GatedPixelCNN, horizontal_rows, masked, rows_border
from pixelcnn_jax.models.inputs import Condition, Images, Map, Variables, Vector, check_images, check_values, params_of
from pixelcnn_jax.models.layers import shift_down, vertical_half
from pixelcnn_jax.models.parameters import Params, layers_of
from pixelcnn_jax.models.registry import build, describe

MARGIN = 1.5  # clip ranges over the largest value that calibration saw
CROSSING, COPY, HEAD, HIDDEN, RESIDUAL = 2**9, 2**9, 2**11, 2**11, 2**15  # largest values of operands, about
MAX_STEP = 12  # of an operand
GATE_STEPS = np.array([[integer.TANH_STEP], [integer.SIGMOID_STEP]])

Range = tuple[int, np.ndarray]  # step and clip range, of each channel or of all
Operand = tuple[np.ndarray, int, np.ndarray]  # weights [inputs, *outputs], step and clip range of the inputs

GATED: Range = (integer.GATE_STEP, np.array(2**integer.GATE_STEP))


@public
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
      model: a network with a softmax over intensities or codes.
      variables: its variables.
      images: some hundred images like those to come, from which the clip ranges are taken.
      h: their one-hot condition [count, condition], for a model made with one.
      s: their maps [count, height, width, map_features], for a model made with one. The integer model rounds a map to
        about a thousand values, multiples of a power of two, and clips it to 1.5 times the largest value seen here.
        Integers up to 341 stay as they are.

    Raises:
      InputError: for a model, images, h or s of a different kind, and if a sum cannot be bounded.
    """
    if not has_integer_form(model):
        raise InputError(
            f"model must be a GatedPixelCNN with a softmax over at most {MAX_LEVELS} levels: other networks have no "
            "integer form."
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
        here = jax.tree.map(lambda x, start=start: x[start : start + 50], condition)
        found = _ranges(model, params, images[start : start + 50], here)
        seen = found if seen is None else jax.tree.map(jnp.maximum, seen, found)
    exact = jax.tree.map(lambda x: np.asarray(x, np.float64), (masked(model, params), seen))
    quantised = {"params": jax.tree.map(_narrow, _quantise_params(model, *exact))}
    check_bounds(integer_model, quantised)
    return integer_model, quantised


def has_integer_form(model: nn.Module) -> bool:
    """Returns whether ``quantise`` takes a network."""
    return type(model) is GatedPixelCNN and not model.mixture and model.levels <= MAX_LEVELS


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
    found = {"layers": layers, "copy": jax.nn.relu(x), "hidden": head_hidden(net["head"], x)}
    if condition.s is not None:
        found["map"] = condition.s
    return jax.tree.map(lambda x: jnp.max(jnp.abs(x), axis=(0, 1, 2)), found)


def _quantise_params(model: GatedPixelCNN, params: Params, seen: Params) -> Params:
    """Returns the integers of all parameters, from float64."""
    residual_step, _ = _operand_step(np.concatenate([one["residual"] for one in seen["layers"]]), RESIDUAL)
    common, scale = _quantise_inputs(model, params, seen)
    above = own = (0, input_range(model, common))  # step and clip range of what a layer reads
    layers: list[Params] = []
    for layer, now in zip(layers_of(params, model.layers), seen["layers"], strict=True):
        found = _quantise_layer(layer, now, above, own, scale, common.get("map"), residual_step)
        if layers:
            found["shifts"]["copy"], found["clips"]["copy"] = residual_step - own[0], own[1]
        layers.append(found)
        above, own = GATED, _operand_step(now["residual"], COPY, most=residual_step - 1)
        scale = np.ones(model.features)
    return {
        "strict": layers[0],
        "layers": jax.tree.map(lambda *x: np.stack(x), *layers[1:]),
        "head": _quantise_head(params["head"], seen, residual_step),
        "tables": _tables(),
        **common,
    }


def _quantise_layer(
    layer: Params, now: Params, above: Range, own: Range, scale: np.ndarray, map_: Params | None, residual_step: int
) -> Params:
    """Returns the integers of a layer.

    Args:
      layer, now: its parameters, and the largest magnitudes that calibration saw in it.
      above, own: step and clip range of what the vertical and the horizontal kernel read.
      scale: the value of one unit of each of these inputs.
      map_: shift and clip range of s.
      residual_step: the step of the sums that pass from layer to layer.
    """
    crossing, unit = _operand_step(now["crossing"], CROSSING), scale[:, None, None]
    across = np.concatenate([layer["horizontal"]["left"], layer["horizontal"]["pixel"][None]])
    operands: dict[str, dict[str, Operand]] = {  # of each sum, by the kernels that read them
        "vertical": {"vertical": (layer["vertical"]["kernel"] * unit, *above)},
        "horizontal": {"crossing": (layer["crossing"]["kernel"], *crossing), "horizontal": (across * unit, *own)},
        "out": {"out": (layer["out"]["kernel"], *GATED)},
    }
    both = np.stack(np.broadcast_arrays(GATE_STEPS, crossing[0]))
    goals = {"vertical": both, "horizontal": GATE_STEPS, "out": residual_step}
    found: Params = {}
    steps: dict[str, np.ndarray] = {}
    for name, read in operands.items():
        if map_ is not None and f"{name}_s" in layer:
            read[f"{name}_s"] = (layer[f"{name}_s"], -map_["shifts"]["s"], map_["clips"]["s"])
        kernels, bias, h, steps[name] = _fit([*read.values()], layer[name]["bias"], goals[name], layer.get(f"{name}_h"))
        found |= {part: x if part.endswith("_s") else {"kernel": x} for part, x in zip(read, kernels, strict=True)}
        found[name]["bias"] = bias
        found |= {} if h is None else {f"{name}_h": h}
    return found | {
        "shifts": {
            "crossing": steps["vertical"] - crossing[0],
            "vertical": steps["vertical"] - GATE_STEPS,
            "horizontal": steps["horizontal"] - GATE_STEPS,
            "out": steps["out"] - residual_step,
        },
        "clips": {"crossing": crossing[1], "residual": np.ceil(now["residual"] * MARGIN * 2.0**residual_step)},
    }


def _quantise_inputs(model: GatedPixelCNN, params: Params, seen: Params) -> tuple[Params, Float[np.ndarray, " inputs"]]:
    """Returns the integers of the embedding and of the map's range, and the value of one unit of each input."""
    common: Params = {}
    units = np.full(model.channels, 1 / (model.levels - 1))  # inputs are 1 and 2 x - (levels - 1)
    if model.code_features:
        table = params["embedding"]["kernel"]
        step, _ = _operand_step(np.abs(table), COPY)
        common["embedding"] = {"kernel": np.rint(table * 2.0**step)}
        units = np.full(model.channels * model.code_features, 2.0**-step)
    if "map" in seen:
        step, reach = _operand_step(seen["map"], COPY)
        common["map"] = {"shifts": {"s": -step}, "clips": {"s": np.full(reach.shape, reach.max())}}
    return common, np.append(1.0, units)


def _quantise_head(head: Params, seen: Params, residual_step: int) -> Params:
    known, known_reach = _operand_step(seen["copy"], HEAD, most=residual_step - 1)
    hidden, hidden_reach = _operand_step(seen["hidden"], HIDDEN)
    (first,), bias, _, step = _fit([(head["hidden"]["kernel"], known, known_reach)], head["hidden"]["bias"], hidden)
    (last,), last_bias, _, last_step = _fit(
        [(head["logits"]["kernel"], hidden, hidden_reach)], head["logits"]["bias"], LOGIT_STEP
    )
    return {
        "hidden": {"kernel": first, "bias": bias},
        "logits": {"kernel": last, "bias": last_bias},
        "shifts": {"copy": residual_step - known, "hidden": step - hidden, "logits": last_step - LOGIT_STEP},
        "clips": {"copy": known_reach, "hidden": hidden_reach},
    }


def _tables() -> Params:
    def arguments(step: int, reach: int) -> Float[np.ndarray, " entries"]:
        return np.arange(-(reach << step), (reach << step) + 1) * 2.0**-step

    sigmoid = 1 / (1 + np.exp(-arguments(integer.SIGMOID_STEP, integer.SIGMOID_RANGE)))
    return {
        "tanh": np.rint(2.0**integer.TANH_BITS * np.tanh(arguments(integer.TANH_STEP, integer.TANH_RANGE))),
        "sigmoid": np.rint(2.0**integer.SIGMOID_BITS * sigmoid),
        "exp": np.rint(2.0**TOTAL_BITS * np.exp(-np.arange(EXP_SIZE) * 2.0**-LOGIT_STEP)),
    }


def _operand_step(seen: np.ndarray, most_value: int, *, most: int = MAX_STEP) -> Range:
    """Returns the finest step of an operand, and the clip range of each channel."""
    step = min(int(np.floor(np.log2(most_value / (seen.max() * MARGIN + 1e-6)))), most, MAX_STEP)
    return step, np.maximum(1, np.ceil(seen * MARGIN * 2.0**step))


def _fit(
    operands: list[Operand], bias: np.ndarray, steps: Any, h: np.ndarray | None = None
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray | None, np.ndarray]:
    """Returns weights, bias, V h and the step of each channel of a sum: the finest steps within the bound.

    ``steps`` are those that the sum is rescaled to.
    """
    steps = np.broadcast_to(steps, (*np.shape(steps)[: max(0, np.ndim(steps) - bias.ndim)], *bias.shape))
    steps = steps.reshape(-1, *bias.shape)
    step = np.full(bias.shape, 30)
    while True:
        weights = [np.rint(kernel * 2.0 ** (step - own)) for kernel, own, _ in operands]
        rounded, terms = np.rint(bias * 2.0**step), None if h is None else np.rint(h * 2.0**step)
        sums = list(zip(weights, [reach for *_, reach in operands], strict=True))
        too_large = largest_sums(sums, rounded, terms, (step - steps).max(axis=0)) > LIMIT
        if not too_large.any():
            break
        step = step - too_large
    if (step - steps < 1).any():
        raise InputError("model cannot be quantised: its weights are too large for sums of at most 2**24.")
    return weights, rounded, terms, step


def _narrow(x: np.ndarray | int) -> Array:
    """Returns integers in 16 bits where they fit."""
    return jnp.asarray(x, jnp.int16 if np.abs(x).max() < 2**15 else jnp.int32)
