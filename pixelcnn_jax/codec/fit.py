"""The integers of a sum: the steps of what it reads and of its weights, which add the least noise within the bound."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pixelcnn_jax.codec.bounds import largest_sums
from pixelcnn_jax.codec.integer_layers import LIMIT
from pixelcnn_jax.foundation.errors import InputError

MARGIN = 1.5  # clip ranges over the largest value that calibration saw
MOST_STEP, MOST_SUM_STEP = 16, 30  # of an operand, of a sum
DAMPING = 0.1  # share of the mean variance that is added to every variance

Range = tuple[Any, np.ndarray]  # step, of each channel or of all, and clip range of each


class Seen(NamedTuple):
    """What calibration saw of a quantity: the largest magnitude and the mean of each channel, and their covariance."""

    largest: Any
    mean: Any
    covariance: Any

    def scaled(self, factor: np.ndarray) -> "Seen":
        """Returns what was seen, in a different unit of each channel."""
        return Seen(self.largest * factor, self.mean * factor, self.covariance * np.outer(factor, factor))


class Operand(NamedTuple):
    """What a sum reads.

    Attributes:
      kernel: its weights [*taps, *channels, *outputs].
      seen: its values.
      range: its step and clip range; None to choose them.
      most: the finest step to choose.
      shared: whether all channels must have one step.
    """

    kernel: np.ndarray
    seen: Seen
    range: Range | None = None
    most: Any = MOST_STEP
    shared: bool = False


class Sum(NamedTuple):
    """The integers of a sum, the step of each of its channels, and the ranges of what it reads."""

    kernels: list[np.ndarray]
    bias: np.ndarray
    h: np.ndarray | None
    step: np.ndarray
    ranges: list[Range]


def step_within(largest: np.ndarray, most_value: int) -> int:
    """Returns the finest step at which a quantity, with the margin, stays within a value."""
    return min(int(np.floor(np.log2(most_value / (largest.max() * MARGIN + 1e-6)))), MOST_STEP)


def range_of(seen: Seen, step: Any) -> Range:
    """Returns a step, and the clip range of each channel with it."""
    return step, np.maximum(1, np.ceil(seen.largest * MARGIN * 2.0**step))


def finest_step(operands: list[Operand], bias: np.ndarray) -> np.ndarray:
    """Returns about the finest step of each channel of a sum. The steps of the operands do not change it."""
    sums = [(one.kernel, one.seen.largest * MARGIN) for one in operands]
    return np.floor(np.log2(LIMIT / (largest_sums(sums, bias, None, np.zeros(bias.shape)) - 1 + 1e-6)))


def fit_sum(
    operands: list[Operand], bias: np.ndarray, steps: Any, h: np.ndarray | None = None, *, importance: Any = None
) -> Sum:
    """Returns the integers of a sum with the finest steps within the bound.

    Args:
      operands: what it reads.
      bias: its bias [*outputs]. It takes up the mean of the error that rounded weights make.
      steps: those that the sum is rescaled to.
      h: the terms of a one-hot h [classes, *outputs].
      importance: the cost of noise in each output; None if ``steps`` are equally important.

    Raises:
      InputError: if the weights leave no room for these steps.
    """
    importance = 4.0 ** np.asarray(steps) if importance is None else importance
    finest = finest_step(operands, bias)
    ranges = [one.range or _quietest(one, finest, importance) for one in operands]
    steps = np.broadcast_to(steps, (*np.shape(steps)[: max(0, np.ndim(steps) - bias.ndim)], *bias.shape))
    steps = steps.reshape(-1, *bias.shape)
    scales = [
        2.0 ** np.broadcast_to(step, one.seen.mean.shape) for one, (step, _) in zip(operands, ranges, strict=True)
    ]
    seen = [one.seen.scaled(scale) for one, scale in zip(operands, scales, strict=True)]
    kernels = [one.kernel / _by_channel(scale, bias) for one, scale in zip(operands, scales, strict=True)]
    step = np.minimum(finest + 1, MOST_SUM_STEP)
    while True:
        exact = [kernel * 2.0**step for kernel in kernels]
        weights = [_rounded(kernel, one.covariance, bias.size) for kernel, one in zip(exact, seen, strict=True)]
        errors = [(x - y) * _by_channel(one.mean, bias) for x, y, one in zip(exact, weights, seen, strict=True)]
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


def _quietest(operand: Operand, finest: np.ndarray, importance: Any) -> Range:
    """Returns the steps of an operand at which rounding it, and rounding its weights, add the least noise.

    Each bit given to the operand is taken from its weights: at a step s of the operand and t of the sum, a weight w has
    the step t - s. The noise w**2 4**-s + x**2 4**(s - t) is least where both terms are equal.
    """
    kernel, seen = operand.kernel, operand.seen
    variance = np.diag(seen.covariance).reshape(seen.mean.shape)
    inputs = kernel.ndim - finest.ndim
    others = (*range(inputs - variance.ndim), *range(inputs, kernel.ndim))  # all axes but those of the channels
    of_operand = (kernel**2 * importance).sum(axis=others)
    of_weights = ((kernel != 0) * (importance * 4.0**-finest)).sum(axis=others) * variance
    if operand.shared:
        of_operand, of_weights = of_operand.sum(), of_weights.sum()
    best = np.rint(np.log2((of_operand + 1e-30) / (of_weights + 1e-30)) / 4)
    steps = np.clip(best, 0, operand.most).astype(int)
    return range_of(seen, int(steps) if operand.shared else steps)


def _rounded(kernel: np.ndarray, covariance: np.ndarray, outputs: int) -> np.ndarray:
    """Returns a kernel [*taps, *channels, *outputs] in integers.

    Channel by channel, the weights of those that follow take up the error as well as their covariance allows: the
    rounding of GPTQ (Frantar et al. 2022), at each tap by itself. Masked weights stay zero.
    """
    channels = len(covariance)
    damped = covariance + np.eye(channels) * (DAMPING * np.trace(covariance) / channels + 1e-12)
    following = np.linalg.cholesky(np.linalg.inv(damped)).T
    weights = kernel.reshape(-1, channels, outputs).copy()
    allowed = weights != 0
    result = np.empty_like(weights)
    for i in range(channels):
        result[:, i] = np.rint(weights[:, i])
        error = (weights[:, i] - result[:, i]) / following[i, i]
        weights[:, i + 1 :] -= error[:, None] * following[i, i + 1 :, None] * allowed[:, i + 1 :]
    return result.reshape(kernel.shape)


def _by_channel(x: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """Returns numbers of channels with axes for the outputs of a kernel."""
    return x.reshape(x.shape + (1,) * bias.ndim)


def narrow(x: np.ndarray | int) -> Array:
    """Returns integers in 16 bits where they fit."""
    return jnp.asarray(x, jnp.int16 if np.abs(x).max() < 2**15 else jnp.int32)
