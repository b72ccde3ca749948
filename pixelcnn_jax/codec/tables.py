"""Stored tables of an integer model and units of its outputs."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from pixelcnn_jax.codec import frequencies
from pixelcnn_jax.distributions import MAX_LOG_SCALE, MIN_LOG_WEIGHT, NARROWED, centres_of, min_log_scale
from pixelcnn_jax.models.autoregressive import Network
from pixelcnn_jax.models.gated_pixelcnn import GatedPixelCNN
from pixelcnn_jax.models.parameters import Params

LIMIT = 2**24  # every sum, and the offset that rounds it, stays within it
MAX_SHIFT = 25
TANH_RANGE, TANH_BITS = 4, 11  # largest argument, and step of the entries
SIGMOID_RANGE, SIGMOID_BITS = 8, 12
LOGIT_STEP = 8
EXP_SIZE = 3018  # 2**16 exp(-d 2**-8) rounds to 0 from d = 3017 on
ARGUMENT_STEP, ARGUMENT_RANGE = 10, 12  # step of the sigmoid's argument, and its largest value
WIDE_STEP = 8  # of that argument for two symbols
SCALE_STEP = 6  # of a log-scale
SLOPE_BITS = 10  # of a slope, unless its shift would be below 1


class Precision(NamedTuple):
    """Steps of a gate: arguments of its two tables, and output."""

    tanh: int
    sigmoid: int
    gate: int

    @property
    def gate_shift(self) -> int:
        return TANH_BITS + SIGMOID_BITS - self.gate


def input_shift(model: Network) -> int:
    """Counts the bits beyond 12 of the integers that stand for pixels; products read pixels without these bits."""
    return 0 if model.code_features else max(0, (model.levels - 1).bit_length() - frequencies.SYMBOL_BITS)


def precision_of(model: Network) -> Precision:
    """Looks up the steps of the gates: the mean of a mixture needs finer ones than a logit."""
    return Precision(11, 9, 11) if model.mixture else Precision(8, 6, 9)


def make_tables(model: GatedPixelCNN) -> Params:
    """Computes the tables of a network in float64."""
    precision = precision_of(model)
    tables = {
        "tanh": np.rint(2.0**TANH_BITS * np.tanh(_arguments(precision.tanh, TANH_RANGE))),
        "sigmoid": np.rint(2.0**SIGMOID_BITS * _sigmoid(precision.sigmoid, SIGMOID_RANGE)),
        "exp": np.rint(2.0**frequencies.SHARE_BITS * np.exp(-np.arange(EXP_SIZE) * 2.0**-LOGIT_STEP)),
    }
    if model.mixture:  # the sigmoid, and its slope in the distance for each log-scale
        least = min_log_scale(model.levels)
        log_scales = np.arange(least, MAX_LOG_SCALE + 2.0**-SCALE_STEP / 2, 2.0**-SCALE_STEP)
        step, fraction, bits = ARGUMENT_STEP, 0, frequencies.HEIGHT_BITS
        if frequencies.is_wide(model.levels):
            step, fraction, bits = WIDE_STEP, frequencies.FRACTION_BITS, frequencies.WIDE_HEIGHT_BITS
        largest = (model.levels - 1) << frequencies.mean_step(model.levels)
        slopes = 2.0 ** (step + fraction) * np.exp(-log_scales) / largest
        shifts = np.clip(np.floor(SLOPE_BITS - np.log2(slopes)), 1, MAX_SHIFT)
        tables["logistic"] = np.rint(2.0**bits * _sigmoid(step, ARGUMENT_RANGE))
        tables |= {"slopes": np.rint(slopes * 2.0**shifts), "slope_shifts": shifts}
    return tables


def _arguments(step: int, reach: int) -> Float[np.ndarray, " entries"]:
    return np.arange(-(reach << step), (reach << step) + 1) * 2.0**-step


def _sigmoid(step: int, reach: int) -> Float[np.ndarray, " entries"]:
    return 1 / (1 + np.exp(-_arguments(step, reach)))


def output_units(model: GatedPixelCNN) -> tuple[np.ndarray, ...]:
    """Computes unit, offset and step of every output of the head.

    The constants of ``mixture_of`` go into the bias of the head's last layer. Means are in half levels, log-scales
    index the slopes.
    """
    rows: list[tuple[float, float, int]] = [(1, 0, LOGIT_STEP)] * (model.mixture or model.levels)
    if count := model.mixture:
        half, step, ends = model.levels - 1, frequencies.mean_step(model.levels), 2 * model.point_masses
        centres = centres_of(count) * (NARROWED if model.linear_prediction else 1)
        rows += [(half, centre, step) for centre in centres * half]
        rows += [(1, -np.log(2 * count) - min_log_scale(model.levels), SCALE_STEP)] * count
        rows += [(1, MIN_LOG_WEIGHT, LOGIT_STEP)] * ends
        coefficients = model.outputs - 3 * count - ends
        of_twice = step + frequencies.coefficient_shift(model.levels)  # the differences
        rows += [(0.5, 0, of_twice)] * coefficients
    return tuple(np.tile(x, model.channels) for x in zip(*rows, strict=True))
