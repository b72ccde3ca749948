"""Proof that an integer model is exact: bounds on every sum."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Num

from pixelcnn_jax.codec import frequencies
from pixelcnn_jax.codec.tables import LIMIT, MAX_SHIFT, input_shift, precision_of
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.autoregressive import Network
from pixelcnn_jax.models.colours import colour_masks
from pixelcnn_jax.models.inputs import Variables, params_of
from pixelcnn_jax.models.parameters import Params, layers_of

Operands = list[tuple[np.ndarray, np.ndarray]]  # kernels, and the largest values of their inputs


def check_bounds(model: Network, variables: Variables) -> None:
    """Raises InputError unless all sums stay within 2**24 and kernels are masked."""
    are_integers = all(jnp.issubdtype(x.dtype, jnp.integer) for x in jax.tree.leaves(variables))
    _require(are_integers, "they must be integers, which quantise makes")
    params = jax.tree.map(lambda x: np.asarray(x, np.float64), params_of(variables))  # exact, and cannot overflow
    masks, tables = colour_masks(model), params["tables"]
    for path, x in jax.tree_util.tree_leaves_with_path(params):
        name = jax.tree_util.keystr(path)
        least = -24 if "condition" in name else 1  # a map may have fractions
        low, high = (least, MAX_SHIFT) if "shifts" in name else (0, 2**23) if "clips" in name else (-LIMIT, LIMIT)
        _require((low <= x).all() and (x <= high).all(), f"{name} must be between {low} and {high}")
    wide = frequencies.is_wide(model.levels)
    most = frequencies.MAX_LEVELS if model.mixture else 1 << frequencies.SYMBOL_BITS
    _require(model.levels <= most, f"levels must be at most {most}")
    exp, product = tables["exp"], np.abs(tables["tanh"]).max() * np.abs(tables["sigmoid"]).max()
    _require(exp[0] == exp.max() == 2**16 and exp.min() == exp[-1] == 0, "exp must fall from 2**16 to 0")
    shift = precision_of(model).gate_shift
    _require(product + 2 ** (shift - 1) <= LIMIT, "tables must have products of at most 2**24")
    if model.mixture:
        heights, slopes = tables["logistic"], tables["slopes"]
        bits = frequencies.WIDE_HEIGHT_BITS if wide else frequencies.HEIGHT_BITS
        _require(0 <= heights[0] and heights[-1] <= 2**bits, f"logistic must be between 0 and 2**{bits}")
        _require(np.diff(heights).max() < 2**16, "logistic must rise by less than 2**16")
        _require((np.diff(heights) >= 0).all(), "logistic must not fall")
        _require((1 <= slopes).all() and (slopes <= 2**20).all(), "slopes must be 1 to 2**20")
    gates = np.full(model.features, np.floor(product * 2.0**-shift + 0.5))
    own_row = above = input_range(model, params)
    before = np.zeros(model.features)  # the largest features of the layer before
    for index, layer in enumerate(layers_of(params, model.layers)):
        name, shifts, clips = f"layer {index}", layer["shifts"], layer["clips"]
        if index:
            above, own_row = gates, clips["input"]
            holds = (before + 2 ** (shifts["input"] - 1)).max() <= LIMIT
            _require(holds, f"the rescaled residual of {name} may exceed 2**24")
        mask = (masks.inner if index else masks.first)[:, None]
        _require(not (layer["horizontal"]["kernel"][-1] * ~mask).any(), f"{name} must be masked by colour")
        _require(not (layer["out"]["kernel"] * ~masks.inner).any(), f"{name} must be masked by colour")
        across = [(layer["crossing"]["kernel"], clips["crossing"]), (layer["horizontal"]["kernel"], own_row)]
        sums = {
            "vertical": ([(layer["vertical"]["kernel"], above)], np.maximum(shifts["vertical"], shifts["crossing"])),
            "horizontal": (across, shifts["horizontal"]),
            "out": ([(layer["out"]["kernel"], gates)], shifts["out"]),
        }
        for part, (operands, shift) in sums.items():
            if f"{part}_s" in layer:
                operands.append((layer[f"{part}_s"], params["condition"]["clips"]["s"]))
            largest = largest_sums(operands, layer[part]["bias"], layer.get(f"{part}_h"), shift)
            _require(largest.max() <= LIMIT, f"{name} must have {part} sums of at most 2**24")
        _require((before + 2.0 ** (24 - shifts["out"])).max() <= LIMIT, f"{name} must have features of at most 2**24")
        before = clips["residual"]
    head, shifts, clips = params["head"], params["head"]["shifts"], params["head"]["clips"]
    _require((before + 2 ** (shifts["input"] - 1)).max() <= LIMIT, "the input of the head may exceed 2**24")
    for name, reach, mask in (("hidden", clips["input"], masks.hidden), ("logits", clips["hidden"], masks.logits)):
        kernel, bias = head[name]["kernel"], head[name]["bias"]
        _require(not (kernel * ~mask).any(), f"{name} must be masked by colour")
        largest = largest_sums([(kernel, reach)], bias, None, shifts[name])
        _require(largest.max() <= LIMIT, f"{name} must have sums of at most 2**24")


def _require(holds: Any, what: str) -> None:
    if not holds:
        raise InputError(f"variables cannot be computed exactly: {what}.")


def largest_sums(operands: Operands, bias: np.ndarray, h: np.ndarray | None, shift: np.ndarray) -> np.ndarray:
    """Bounds the magnitude of every channel's sum, partial sums included."""
    total = np.abs(bias) + (0 if h is None else np.abs(h).max(axis=0)) + 2.0 ** np.maximum(0, shift - 1)
    for kernel, reach in operands:  # the range of a channel is the same at every tap
        inputs = kernel.ndim - bias.ndim
        total = total + (np.abs(kernel) * reach.reshape(reach.shape + (1,) * bias.ndim)).sum(axis=tuple(range(inputs)))
    return total


def input_range(model: Any, params: Params) -> Num[np.ndarray, " inputs"]:
    """Bounds the inputs of the first layer."""
    if model.code_features:
        return np.append(1, np.abs(params["embedding"]["kernel"]).max(axis=1))
    return np.append(1, np.full(model.channels, np.floor((model.levels - 1) * 2.0 ** -input_shift(model) + 0.5)))
