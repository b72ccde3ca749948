"""Integer frequencies of a mixture of discretised logistics.

CDFs are monotonic sums of integer weights times sigmoid table entries; decoding bisects. See ``docs/integer_codec.md``.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Int32, Integer, UInt32

from pixelcnn_jax.codec.frequencies import Softmax, cumulative_weights, log_of_frequency

TOTAL_BITS = 20
WEIGHT_BITS, HEIGHT_BITS = 16, 16  # of all weights together, and of the sigmoid's largest value
SUM_SHIFT = WEIGHT_BITS + HEIGHT_BITS - TOTAL_BITS
ARGUMENT_STEP, ARGUMENT_RANGE = 10, 12  # step of the sigmoid's argument, and its largest value
SCALE_STEP = 6  # of a log-scale
SLOPE_BITS = 10  # of the largest slope
COEFFICIENT_SHIFT = 5  # from the step of a coefficient's product to that of a mean
MAX_DISTANCE = 2**20 - 1  # clip range of a distance


def mean_step(levels: int) -> int:
    """Computes a mean's step in half levels."""
    return 14 - (levels - 1).bit_length()


class Logistics(NamedTuple):
    """Integers of a mixture; the sigmoid's argument is distance times slope / 2**shift.

    ``weights``: components, then point masses at the lowest and highest level, if any.
    """

    weights: UInt32[Array, "*subpixels weights"]
    means: Int32[Array, "*subpixels components"]
    slopes: Int32[Array, "*subpixels components"]
    shifts: Int32[Array, "*subpixels components"]


@dataclass(frozen=True)
class Mixture:
    """Frequencies of a mixture of logistics.

    Attributes:
      levels: number of intensity levels.
      exp, logistic, slopes, slope_shifts: stored tables; the last two are indexed by log-scale.
    """

    levels: int
    exp: UInt32[Array, " exponentials"]
    logistic: UInt32[Array, " heights"]
    slopes: Int32[Array, " scales"]
    slope_shifts: Int32[Array, " scales"]
    total_bits = TOTAL_BITS

    def read(self, outputs: Float[Array, "*subpixels outputs"]) -> Any:
        """Converts head outputs, ordered as in ``mixture_of``, to ``Logistics``."""
        count = outputs.shape[-1] // 3
        weights, means, scales, ends = jnp.split(outputs, (count, 2 * count, 3 * count), axis=-1)
        sums = cumulative_weights(self.exp, jnp.concatenate([weights, ends], axis=-1))
        bounds = sums * np.uint32((1 << WEIGHT_BITS) - _share_of_ones(self.levels)) // sums[..., -1:]
        index = jnp.clip(scales, 0, self.slopes.size - 1).astype(jnp.int32)
        return Logistics(
            weights=bounds[..., 1:] - bounds[..., :-1],
            means=means.astype(jnp.int32),
            slopes=self.slopes.at[index].get(mode="promise_in_bounds"),
            shifts=self.slope_shifts.at[index].get(mode="promise_in_bounds"),
        )

    def bound(self, numbers: Logistics, values: Int32[Array, "*subpixels"]) -> UInt32[Array, "*subpixels"]:
        """Sums the frequencies below a value: 0 at level 0, 2**20 at ``levels``."""
        edges = (2 * values - self.levels) << mean_step(self.levels)
        distance = jnp.clip(edges[..., None] - numbers.means, -MAX_DISTANCE, MAX_DISTANCE)
        arguments = (distance * numbers.slopes + (1 << (numbers.shifts - 1))) >> numbers.shifts
        reach = self.logistic.size // 2
        heights = self.logistic.at[jnp.clip(arguments, -reach, reach) + reach].get(mode="promise_in_bounds")
        count = numbers.means.shape[-1]
        below = jnp.sum(numbers.weights[..., :count] * heights, axis=-1, dtype=jnp.uint32)
        if numbers.weights.shape[-1] > count:
            below += numbers.weights[..., count] << HEIGHT_BITS
        inner = values.astype(jnp.uint32) + (below >> SUM_SHIFT)
        last = np.uint32(1 << TOTAL_BITS)
        return jnp.where(values <= 0, np.uint32(0), jnp.where(values >= self.levels, last, inner))

    def interval(
        self, numbers: Logistics, values: Integer[Array | np.ndarray, "*subpixels"]
    ) -> tuple[UInt32[Array, "*subpixels"], UInt32[Array, "*subpixels"]]:
        values = jnp.asarray(values).astype(jnp.int32)
        start = self.bound(numbers, values)
        return start, self.bound(numbers, values + 1) - start

    def level_at(
        self, numbers: Logistics, slot: UInt32[Array, "*subpixels"]
    ) -> tuple[Int[Array, "*subpixels"], UInt32[Array, "*subpixels"], UInt32[Array, "*subpixels"]]:
        """Bisects for the interval of a slot."""
        bits = (self.levels - 1).bit_length()

        def halve(i: Array, result: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            values, start, end = result
            tried = values + (jnp.int32(1 << bits - 1) >> i)
            bound = self.bound(numbers, tried)
            above = (tried < self.levels) & (bound <= slot)
            return jnp.where(above, tried, values), jnp.where(above, bound, start), jnp.where(above, end, bound)

        first = jnp.zeros(slot.shape, jnp.int32), jnp.zeros_like(slot), jnp.full_like(slot, 1 << TOTAL_BITS)
        values, start, end = jax.lax.fori_loop(0, bits, halve, first)
        return values, start, end - start

    def log_frequencies(self, numbers: Logistics) -> Float[Array, "*subpixels levels"]:
        numbers = Logistics(*(x[..., None, :] for x in numbers))
        shape = *numbers.means.shape[:-2], self.levels + 1
        values = jnp.broadcast_to(
            jnp.arange(self.levels + 1, dtype=jnp.int32).reshape((1,) * (len(shape) - 1) + (-1,)), shape
        )
        bounds = self.bound(numbers, values)
        return log_of_frequency(bounds[..., 1:] - bounds[..., :-1], TOTAL_BITS)


Distribution = Softmax | Mixture  # converts the outputs of a head to frequencies


def _share_of_ones(levels: int) -> int:
    return -(-levels >> (TOTAL_BITS - WEIGHT_BITS))
