"""Chooses steps and integer weights that add the least noise and keep sums within the bound; computes in float64."""

from typing import Any, NamedTuple

import jax
import numpy as np

from pixelcnn_jax.codec.bounds import input_range, largest_sums
from pixelcnn_jax.codec.frequencies import is_wide
from pixelcnn_jax.codec.tables import LIMIT, Precision, input_shift, make_tables, output_units, precision_of
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.gated_pixelcnn import GatedPixelCNN
from pixelcnn_jax.models.parameters import Params, layers_of

RESIDUAL = 2**16  # about the largest value of the residual stream
LARGEST_CONDITION = 2**9  # about, of a map or an embedded code
LARGEST_WIDE_CONDITION = 2**13  # about, of a map where values have more than 12 bits
MARGIN = 1.5  # clip range over the calibration maximum
MAX_STEP, MAX_SUM_STEP = 16, 30  # finest step of an operand, of a sum
DAMPING = 0.1  # fraction of the mean variance added to each

Range = tuple[Any, np.ndarray]  # step, of each channel or of all, and clip range of each


class Statistics(NamedTuple):
    """Per-channel maximum magnitude and mean, and covariance."""

    largest: Any
    mean: Any
    covariance: Any

    def scaled(self, factor: np.ndarray) -> "Statistics":
        return Statistics(self.largest * factor, self.mean * factor, self.covariance * np.outer(factor, factor))

    def merge(self, new: "Statistics", share: float) -> "Statistics":
        """Merges statistics; ``share`` is the fraction of new images."""
        apart = np.ravel(new.mean - self.mean)
        covariance = self.covariance + share * (new.covariance - self.covariance)
        return Statistics(
            np.maximum(self.largest, new.largest),
            self.mean + share * (new.mean - self.mean),
            covariance + share * (1 - share) * np.outer(apart, apart),
        )


class Operand(NamedTuple):
    """One input of a sum and its weights.

    Attributes:
      kernel: ``[*taps, *channels, *outputs]``.
      seen: calibration statistics.
      range: step and clip range; None to choose them.
      max_step: finest step to choose.
      shared: one step for all channels.
    """

    kernel: np.ndarray
    seen: Statistics
    range: Range | None = None
    max_step: Any = MAX_STEP
    shared: bool = False


class Sum(NamedTuple):
    """Integers of a sum, steps and operand ranges."""

    kernels: list[np.ndarray]
    bias: np.ndarray
    h: np.ndarray | None
    step: np.ndarray
    ranges: list[Range]


def step_within(largest: np.ndarray, most_value: int) -> int:
    """Computes the finest step within a value."""
    return min(int(np.floor(np.log2(most_value / (largest.max() * MARGIN + 1e-6)))), MAX_STEP)


def range_of(seen: Statistics, step: Any) -> Range:
    """Computes clip ranges at a step."""
    return step, np.maximum(1, np.ceil(seen.largest * MARGIN * 2.0**step))


def finest_step(operands: list[Operand], bias: np.ndarray, h: np.ndarray | None = None) -> np.ndarray:
    """Estimates the finest step per channel."""
    sums = []
    for operand in operands:
        step, reach = operand.range or (0, operand.seen.largest * MARGIN)
        sums.append((operand.kernel, np.asarray(reach * 2.0**-step)))
    largest = largest_sums(sums, bias, h, np.zeros(bias.shape)) - 1  # without the offset that rounds
    return np.floor(np.log2(LIMIT / (largest + 1e-6)))


def finest_operand_step(operands: list[Operand], bias: np.ndarray, h: np.ndarray | None = None) -> np.ndarray:
    """Computes the finest step to rescale to."""
    return np.minimum(finest_step(operands, bias, h) - 2, MAX_STEP)


def fit_sum(
    operands: list[Operand], bias: np.ndarray, steps: Any, h: np.ndarray | None = None, *, importance: Any = None
) -> Sum:
    """Fits the integers of a sum at the finest steps within the bound.

    Args:
      operands: inputs of the sum.
      bias: ``[*outputs]``; absorbs the mean rounding error.
      steps: steps after rescaling.
      h: terms of a one-hot h ``[classes, *outputs]``.
      importance: noise weight per output, default 4**steps.

    Raises:
      InputError: if a sum would exceed 2**24.
    """
    importance = 4.0 ** np.asarray(steps) if importance is None else importance
    finest = finest_step(operands, bias, h)
    ranges = [operand.range or _least_noise(operand, finest, importance) for operand in operands]
    operands = [_in_integers(operand, step, bias) for operand, (step, _) in zip(operands, ranges, strict=True)]
    steps = np.broadcast_to(steps, np.broadcast_shapes(np.shape(steps), bias.shape)).reshape(-1, *bias.shape)
    step = np.minimum(finest + 1, MAX_SUM_STEP)
    while True:
        weights = [_rounded(operand.kernel * 2.0**step, operand.seen.covariance, bias.size) for operand in operands]
        errors = [
            (operand.kernel * 2.0**step - x) * _for_kernel(operand.seen.mean, bias)
            for operand, x in zip(operands, weights, strict=True)
        ]
        error = sum(x.sum(axis=tuple(range(x.ndim - bias.ndim))) for x in errors)
        rounded, terms = np.rint(bias * 2.0**step + error), None if h is None else np.rint(h * 2.0**step)
        sums = list(zip(weights, [reach for _, reach in ranges], strict=True))
        too_large = largest_sums(sums, rounded, terms, (step - steps).max(axis=0)) > LIMIT
        if not too_large.any():
            break
        step = step - too_large
    if (step - steps < 1).any():
        raise InputError("model cannot be quantised: its weights are too large for sums of at most 2**24.")
    return Sum(weights, rounded, terms, step, ranges)


def _least_noise(operand: Operand, finest: np.ndarray, importance: Any) -> Range:
    """Chooses operand steps that minimise rounding noise.

    At step s of the operand and t of the sum, a weight w has step t - s. The noise w**2 4**-s + var(x) 4**(s - t) is
    least where both terms are equal.
    """
    kernel, seen = operand.kernel, operand.seen
    variance = np.diag(seen.covariance).reshape(seen.mean.shape)
    inputs = kernel.ndim - finest.ndim
    axes = (*range(inputs - variance.ndim), *range(inputs, kernel.ndim))  # all axes but those of the channels
    of_operand = (kernel**2 * importance).sum(axis=axes)
    of_weights = ((kernel != 0) * (importance * 4.0**-finest)).sum(axis=axes) * variance
    if operand.shared:
        of_operand, of_weights = of_operand.sum(), of_weights.sum()
    best = np.rint(np.log2((of_operand + 1e-30) / (of_weights + 1e-30)) / 4)
    steps = np.clip(best, 0, operand.max_step).astype(int)
    return range_of(seen, int(steps) if operand.shared else steps)


def _in_integers(operand: Operand, step: Any, bias: np.ndarray) -> Operand:
    scale = np.broadcast_to(2.0**step, operand.seen.mean.shape)
    return operand._replace(kernel=operand.kernel / _for_kernel(scale, bias), seen=operand.seen.scaled(scale))


def _rounded(kernel: np.ndarray, covariance: np.ndarray, outputs: int) -> np.ndarray:
    """Rounds a kernel ``[*taps, *channels, *outputs]`` by GPTQ (Frantar et al. 2022).

    The last colour comes first, so that masks hide no remaining channel.
    """
    channels = len(covariance)
    damped = covariance[::-1, ::-1] + np.eye(channels) * (DAMPING * np.trace(covariance) / channels + 1e-12)
    remaining = np.linalg.cholesky(np.linalg.inv(damped)).T
    weights = kernel.reshape(-1, channels, outputs)[:, ::-1].copy()
    allowed = weights != 0
    result = np.empty_like(weights)
    for i in range(channels):
        result[:, i] = np.rint(weights[:, i])
        error = (weights[:, i] - result[:, i]) / remaining[i, i]
        weights[:, i + 1 :] -= error[:, None] * remaining[i, i + 1 :, None] * allowed[:, i + 1 :]
    return result[:, ::-1].reshape(kernel.shape)


def _for_kernel(x: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return x.reshape(x.shape + (1,) * bias.ndim)


def quantise_params(model: GatedPixelCNN, params: Params, seen: Params) -> Params:
    """Quantises all parameters."""
    residual_step = step_within(np.concatenate([layer["residual"].largest for layer in seen["layers"]]), RESIDUAL)
    common: Params = {}
    unit = np.full(model.channels, 2.0 ** input_shift(model) / (model.levels - 1))  # inputs: 1 and 2 x - (levels - 1)
    if model.code_features:
        table = params["embedding"]["kernel"]
        step = step_within(np.abs(table), LARGEST_CONDITION)
        common["embedding"] = {"kernel": np.rint(table * 2.0**step)}
        unit = np.full(model.channels * model.code_features, 2.0**-step)
    s = None
    if seen["condition"] is not None:
        most = LARGEST_WIDE_CONDITION if is_wide(model.levels) else LARGEST_CONDITION
        step, reach = range_of(seen["condition"], step_within(seen["condition"].largest, most))
        reach = np.full(reach.shape, reach.max())
        s = seen["condition"], (step, reach)
        common["condition"] = {"shifts": {"s": -step}, "clips": {"s": reach}}
    inputs: list[tuple[Range | None, np.ndarray]] = [((0, input_range(model, common)), np.append(1.0, unit))]
    inputs += [(None, np.ones(model.features))] * model.layers
    layers = [
        _quantise_layer(layer, now, *of_layer, s, precision_of(model), residual_step)
        for layer, now, of_layer in zip(layers_of(params, model.layers), seen["layers"], inputs, strict=True)
    ]
    return {
        "first": layers[0],
        "layers": jax.tree.map(lambda *x: np.stack(x), *layers[1:]),
        "head": _quantise_head(model, params["head"], seen, residual_step),
        "tables": make_tables(model),
        **common,
    }


def _quantise_layer(
    layer: Params,
    seen: Params,
    own_range: Range | None,
    unit: np.ndarray,
    s: tuple[Statistics, Range] | None,
    precision: Precision,
    residual_step: int,
) -> Params:
    """Quantises a layer.

    Args:
      layer, seen: parameters and statistics.
      own_range: range of the layer's inputs, None to choose it.
      unit: values of the inputs' integer 1.
      s: statistics and range of the map s.
      residual_step: step of the residual stream.
    """
    result: Params = {}

    def with_map(name: str, operands: dict[str, Operand]) -> dict[str, Operand]:
        kernel = layer.get(f"{name}_s")
        return operands if s is None or kernel is None else operands | {f"{name}_s": Operand(kernel, *s)}

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
    of_unit = unit[:, None, None]
    above = Operand(layer["vertical"]["kernel"] * of_unit, seen["above"].scaled(1 / unit), own_range or gated)
    own_row = Operand(across * of_unit, seen["own_row"].scaled(1 / unit), own_range, residual_step - 1, shared=True)
    read_above = with_map("vertical", {"vertical": above})
    max_step = finest_operand_step([*read_above.values()], layer["vertical"]["bias"], layer.get("vertical_h"))
    crossing = Operand(layer["crossing"]["kernel"], seen["crossing"], max_step=max_step)
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
    if own_range is None:
        shifts["input"], clips["input"] = residual_step - own_step, own_reach
    return result | {"shifts": shifts, "clips": clips}


def _quantise_head(model: GatedPixelCNN, head: Params, seen: Params, residual_step: int) -> Params:
    units, offsets, goals = output_units(model)
    copy = Operand(head["hidden"]["kernel"], seen["input"], max_step=residual_step - 1, shared=True)
    kernel = head["logits"]["kernel"] * units
    last = Operand(kernel, seen["hidden"], max_step=finest_operand_step([copy], head["hidden"]["bias"]))
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
