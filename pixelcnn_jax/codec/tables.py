"""Stored tables of an integer model and units of its outputs."""

import numpy as np
from jaxtyping import Float

from pixelcnn_jax.codec.frequencies import EXP_SIZE, LOGIT_STEP, SHARE_BITS
from pixelcnn_jax.codec.integer_layers import SIGMOID_BITS, SIGMOID_RANGE, TANH_BITS, TANH_RANGE, precision_of
from pixelcnn_jax.codec.logistics import (
    ARGUMENT_RANGE,
    ARGUMENT_STEP,
    COEFFICIENT_SHIFT,
    HEIGHT_BITS,
    SCALE_STEP,
    SLOPE_BITS,
    mean_step,
)
from pixelcnn_jax.distributions import MAX_LOG_SCALE, MIN_LOG_SCALE, MIN_LOG_WEIGHT, NARROWED, centres_of
from pixelcnn_jax.models.gated_pixelcnn import GatedPixelCNN
from pixelcnn_jax.models.parameters import Params

MAX_SHIFT = 25


def make_tables(model: GatedPixelCNN) -> Params:
    """Computes the tables of a network in float64."""
    precision = precision_of(model)
    tanh = np.tanh(_arguments(precision.tanh, TANH_RANGE))
    tables = {
        "tanh": np.rint(2.0**TANH_BITS * tanh),
        "sigmoid": np.rint(2.0**SIGMOID_BITS * _sigmoid(precision.sigmoid, SIGMOID_RANGE)),
        "exp": np.rint(2.0**SHARE_BITS * np.exp(-np.arange(EXP_SIZE) * 2.0**-LOGIT_STEP)),
    }
    return tables | (_tables_of_mixture(model.levels) if model.mixture else {})


def _tables_of_mixture(levels: int) -> Params:
    """Computes the sigmoid, and its slope in the distance for each log-scale."""
    log_scales = np.arange(MIN_LOG_SCALE, MAX_LOG_SCALE + 2.0**-SCALE_STEP / 2, 2.0**-SCALE_STEP)
    slopes = 2.0**ARGUMENT_STEP * np.exp(-log_scales) / ((levels - 1) << mean_step(levels))
    shifts = np.clip(np.floor(SLOPE_BITS - np.log2(slopes)), 1, MAX_SHIFT)
    return {
        "logistic": np.rint(2.0**HEIGHT_BITS * _sigmoid(ARGUMENT_STEP, ARGUMENT_RANGE)),
        "slopes": np.rint(slopes * 2.0**shifts),
        "slope_shifts": shifts,
    }


def _arguments(step: int, reach: int) -> Float[np.ndarray, " entries"]:
    return np.arange(-(reach << step), (reach << step) + 1) * 2.0**-step


def _sigmoid(step: int, reach: int) -> Float[np.ndarray, " entries"]:
    return 1 / (1 + np.exp(-_arguments(step, reach)))


def output_units(model: GatedPixelCNN) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Computes unit, offset and step of every output of the head.

    The constants of ``mixture_of`` go into the bias. Means are in half levels, log-scales index the slopes.
    """
    if not model.mixture:
        each = np.ones(model.channels * model.levels)
        return each, 0 * each, np.full(each.shape, LOGIT_STEP)
    count, half, step = model.mixture, model.levels - 1, mean_step(model.levels)
    ends = [MIN_LOG_WEIGHT] * (2 * model.point_masses)
    coefficients = [0.5] * (model.outputs - 3 * count - len(ends))  # of twice the differences
    centres = centres_of(count) * (NARROWED if model.linear_prediction else 1)
    widths = [-np.log(2 * count) - MIN_LOG_SCALE] * count
    units = [1] * count + [half] * count + [1] * count + [1 for _ in ends] + coefficients
    offsets = [0] * count + [*(centres * half)] + widths + ends + [0 for _ in coefficients]
    steps = [LOGIT_STEP] * count + [step] * count + [SCALE_STEP] * count + [LOGIT_STEP for _ in ends]
    steps += [step + COEFFICIENT_SHIFT for _ in coefficients]
    units_of_all, offsets_of_all, steps_of_all = (np.tile(x, model.channels) for x in (units, offsets, steps))
    return units_of_all, offsets_of_all, steps_of_all
