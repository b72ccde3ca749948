"""The finest steps within the bound: of an operand, and of the weights of a sum."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pixelcnn_jax.codec.bounds import largest_sums
from pixelcnn_jax.codec.integer import LIMIT
from pixelcnn_jax.foundation.errors import InputError

MARGIN = 1.5  # clip ranges over the largest value that calibration saw

Range = tuple[int, np.ndarray]  # step and clip range, of each channel or of all
Operand = tuple[np.ndarray, int, np.ndarray]  # weights [inputs, *outputs], step and clip range of the inputs


def operand_step(seen: np.ndarray, most_value: int, *, most: int) -> Range:
    """Returns the finest step of an operand, and the clip range of each channel."""
    step = min(int(np.floor(np.log2(most_value / (seen.max() * MARGIN + 1e-6)))), most)
    return step, np.maximum(1, np.ceil(seen * MARGIN * 2.0**step))


def fit_sum(
    operands: list[Operand], bias: np.ndarray, steps: Any, h: np.ndarray | None = None
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray | None, np.ndarray]:
    """Returns weights, bias, V h and the step of each channel of a sum: the finest steps within the bound.

    ``steps`` are those that the sum is rescaled to.
    """
    steps = np.broadcast_to(steps, (*np.shape(steps)[: max(0, np.ndim(steps) - bias.ndim)], *bias.shape))
    steps = steps.reshape(-1, *bias.shape)
    step = np.full(bias.shape, 30)
    while True:
        weights = [np.rint(kernel * 2.0 ** (step - input_step)) for kernel, input_step, _ in operands]
        rounded, terms = np.rint(bias * 2.0**step), None if h is None else np.rint(h * 2.0**step)
        sums = list(zip(weights, [reach for *_, reach in operands], strict=True))
        too_large = largest_sums(sums, rounded, terms, (step - steps).max(axis=0)) > LIMIT
        if not too_large.any():
            break
        step = step - too_large
    if (step - steps < 1).any():
        raise InputError("model cannot be quantised: its weights are too large for sums of at most 2**24.")
    return weights, rounded, terms, step


def narrow(x: np.ndarray | int) -> Array:
    """Returns integers in 16 bits where they fit."""
    return jnp.asarray(x, jnp.int16 if np.abs(x).max() < 2**15 else jnp.int32)
