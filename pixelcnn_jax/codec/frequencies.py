"""Integer frequencies of a softmax or a mixture of discretised logistics, each at least 1.

All numbers fit into 32 bits. Logits are multiples of 2**-8. For values of up to 12 bits, table entries are at most
2**16, and both factors of a product are below 2**16. Distances are clipped, so that their products with slopes stay
within 2**30. CDFs of a mixture are monotonic sums of integer weights times sigmoid table entries; decoding bisects. A
value of more than 12 bits is two symbols, its high byte and then its low byte. See ``docs/integer_codec.md``.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int32, UInt32

from pixelcnn_jax.distributions import Values

SYMBOL_BITS = 12  # values of one symbol: frequencies of at least 1 cost more above
MAX_LEVELS = 2**16  # of a mixture; a softmax has one symbol
SHARE_BITS = 16

MIXTURE_BITS = 20
WEIGHT_BITS, HEIGHT_BITS = 16, 16  # of all weights together, and of the sigmoid's largest value
SUM_SHIFT = WEIGHT_BITS + HEIGHT_BITS - MIXTURE_BITS
WIDE_HEIGHT_BITS = 22  # of the sigmoid's largest value for two symbols
FRACTION_BITS = 8  # of the sigmoid's argument between two entries of that table
MAX_DISTANCE = 2**20 - 1  # clip range of a distance

Frequencies = UInt32[Array, "*subpixels"]  # or sums of them
SymbolValues = Int32[Array, "*subpixels"]


def is_wide(levels: int) -> bool:
    """Whether a value takes two symbols."""
    return levels > 1 << SYMBOL_BITS


def mean_step(levels: int) -> int:
    """Computes a mean's step in half levels."""
    return (17 if is_wide(levels) else 14) - (levels - 1).bit_length()


def coefficient_shift(levels: int) -> int:
    """Computes the shift from a coefficient times a difference, in half levels, to a mean."""
    return 11 - mean_step(levels) if is_wide(levels) else 5


class Cumulative(NamedTuple):
    """Numerators a_i and denominator ``total`` of a softmax's bounds, b_i = i + a_i // total.

    Level i has frequency b_(i+1) - b_i; bounds run from 0 to 2**16.
    """

    scaled: UInt32[Array, "*subpixels bounds"]
    total: UInt32[Array, "*subpixels 1"]


@dataclass(frozen=True)
class IntegerSoftmax:
    """Frequencies of a softmax over the levels.

    Attributes:
      exp: stored exponentials.
    """

    exp: UInt32[Array, " entries"]
    total_bits = 16

    def read(self, outputs: Float[Array, "*subpixels levels"]) -> Any:
        """Converts logits to the ``Cumulative`` of their bounds."""
        sums = cumulative_weights(self.exp, outputs)
        return Cumulative(sums * np.uint32((1 << self.total_bits) - outputs.shape[-1]), sums[..., -1:])

    def bound(self, numbers: Cumulative, values: SymbolValues) -> Frequencies:
        """Sums the frequencies below a value: 0 at level 0, 2**16 at the number of levels."""
        scaled = jnp.take_along_axis(numbers.scaled, values[..., None], axis=-1) // numbers.total
        return values.astype(jnp.uint32) + scaled[..., 0]

    def level_at(self, numbers: Cumulative, slot: Frequencies) -> tuple[SymbolValues, Frequencies, Frequencies]:
        """Finds the interval of a slot without division.

        A bound is at most the slot if and only if a_i < (slot - i + 1) total, a product below 2**32.
        """
        inner = numbers.scaled[..., 1:-1]
        i = jax.lax.broadcasted_iota(jnp.uint32, inner.shape, inner.ndim - 1) + 1
        at = slot[..., None]
        values = jnp.sum((at >= i) & (inner < (at - i + 1) * numbers.total), axis=-1, dtype=jnp.int32)
        return values, *interval(self, numbers, values)

    def log_frequencies(self, numbers: Cumulative) -> Float[Array, "*subpixels levels"]:
        scaled, total = numbers
        bounds = jax.lax.broadcasted_iota(jnp.uint32, scaled.shape, scaled.ndim - 1) + scaled // total
        return log_of_frequency(bounds[..., 1:] - bounds[..., :-1], self.total_bits)


class Logistics(NamedTuple):
    """The parameters of a mixture as integers; the sigmoid's argument is distance times slope / 2**shift.

    ``weights``: components, then point masses at the lowest and highest level, if any.
    """

    weights: UInt32[Array, "*subpixels weights"]
    means: Int32[Array, "*subpixels components"]
    slopes: Int32[Array, "*subpixels components"]
    shifts: Int32[Array, "*subpixels components"]


@dataclass(frozen=True)
class IntegerMixture:
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
    total_bits = MIXTURE_BITS

    @property
    def size(self) -> int:
        """Number of values of the symbol."""
        return self.levels

    def read(self, outputs: Float[Array, "*subpixels outputs"]) -> Any:
        """Converts head outputs, ordered as in ``mixture_of``, to ``Logistics``."""
        count = outputs.shape[-1] // 3
        weights, means, scales, ends = jnp.split(outputs, (count, 2 * count, 3 * count), axis=-1)
        sums = cumulative_weights(self.exp, jnp.concatenate([weights, ends], axis=-1))
        ones = -(-self.size >> (MIXTURE_BITS - WEIGHT_BITS))  # weight of a frequency of 1 for each value
        bounds = sums * np.uint32((1 << WEIGHT_BITS) - ones) // sums[..., -1:]
        index = jnp.clip(scales, 0, self.slopes.size - 1).astype(jnp.int32)
        return Logistics(
            weights=bounds[..., 1:] - bounds[..., :-1],
            means=means.astype(jnp.int32),
            slopes=self.slopes.at[index].get(mode="promise_in_bounds"),
            shifts=self.slope_shifts.at[index].get(mode="promise_in_bounds"),
        )

    def bound(self, numbers: Logistics, values: SymbolValues) -> Frequencies:
        """Sums the frequencies below a value: 0 at level 0, 2**20 at ``levels``."""
        arguments, reach = self.arguments(numbers, values), self.logistic.size // 2
        heights = self.logistic.at[jnp.clip(arguments, -reach, reach) + reach].get(mode="promise_in_bounds")
        count = numbers.means.shape[-1]
        below = jnp.sum(numbers.weights[..., :count] * heights, axis=-1, dtype=jnp.uint32)
        if numbers.weights.shape[-1] > count:
            below += numbers.weights[..., count] << HEIGHT_BITS
        inner = values.astype(jnp.uint32) + (below >> SUM_SHIFT)
        last = np.uint32(1 << MIXTURE_BITS)
        return jnp.where(values <= 0, np.uint32(0), jnp.where(values >= self.size, last, inner))

    def arguments(self, numbers: Logistics, values: SymbolValues) -> Int32[Array, "*subpixels components"]:
        """Computes the sigmoid's arguments at the lower edges of levels."""
        edges = (2 * values - self.levels) << mean_step(self.levels)
        reach = jnp.minimum(MAX_DISTANCE, (1 << 30) // numbers.slopes)  # beyond, the sigmoid is 0 or 1
        distance = jnp.clip(edges[..., None] - numbers.means, -reach, reach)
        return (distance * numbers.slopes + (1 << (numbers.shifts - 1))) >> numbers.shifts

    def level_at(self, numbers: Any, slot: Frequencies) -> tuple[SymbolValues, Frequencies, Frequencies]:
        """Bisects for the interval of a slot."""
        bits = (self.size - 1).bit_length()

        def halve(i: Array, result: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            values, start, end = result
            tried = values + (jnp.int32(1 << bits - 1) >> i)
            bound = self.bound(numbers, tried)
            above = (tried < self.size) & (bound <= slot)
            return jnp.where(above, tried, values), jnp.where(above, bound, start), jnp.where(above, end, bound)

        first = jnp.zeros(slot.shape, jnp.int32), jnp.zeros_like(slot), jnp.full_like(slot, 1 << MIXTURE_BITS)
        values, start, end = jax.lax.fori_loop(0, bits, halve, first)
        return values, start, end - start

    def log_frequencies(self, numbers: Any) -> Float[Array, "*subpixels levels"]:
        numbers = jax.tree.map(lambda x: x[..., None, :], numbers)
        shape = *jax.tree.leaves(numbers)[0].shape[:-2], self.size + 1
        bounds = self.bound(numbers, jax.lax.broadcasted_iota(jnp.int32, shape, len(shape) - 1))
        return log_of_frequency(bounds[..., 1:] - bounds[..., :-1], MIXTURE_BITS)


class WideMixture(IntegerMixture):
    """A mixture over values of two symbols; its ``logistic`` is interpolated linearly."""

    def heights(self, numbers: Logistics, values: SymbolValues) -> UInt32[Array, "*subpixels weights"]:
        """Computes every component's CDF at the lower edges of levels: 0 at level 0, 2**22 at ``levels``."""
        reach, top = self.logistic.size // 2 << FRACTION_BITS, np.uint32(1 << WIDE_HEIGHT_BITS)
        index = jnp.clip(self.arguments(numbers, values), -reach, reach - 1) + reach
        low, high = (self.logistic.at[(index >> FRACTION_BITS) + i].get(mode="promise_in_bounds") for i in (0, 1))
        fraction = (index & ((1 << FRACTION_BITS) - 1)).astype(jnp.uint32)
        inner = low + ((high - low) * fraction >> FRACTION_BITS)
        if numbers.weights.shape[-1] > inner.shape[-1]:  # the point masses at the lowest and highest level
            inner = jnp.concatenate([inner, jnp.full_like(inner[..., :1], top), jnp.zeros_like(inner[..., :1])], -1)
        at = values[..., None]
        return jnp.where(at <= 0, np.uint32(0), jnp.where(at >= self.levels, top, inner))


class HighByte(WideMixture):
    """Frequencies of the high byte of a value."""

    @property
    def size(self) -> int:
        return -(-self.levels >> 8)

    def bound(self, numbers: Logistics, values: SymbolValues) -> Frequencies:
        heights = self.heights(numbers, values << 8) >> (WIDE_HEIGHT_BITS - HEIGHT_BITS)
        below = jnp.sum(numbers.weights * heights, axis=-1, dtype=jnp.uint32)
        inner = values.astype(jnp.uint32) + (below >> SUM_SHIFT)
        return jnp.where(values >= self.size, np.uint32(1 << MIXTURE_BITS), inner)

    def low_byte(self, numbers: Logistics, high: SymbolValues) -> tuple["LowByte", "WithinByte"]:
        """Conditions the distribution on the high byte."""
        low, first = LowByte(**vars(self)), high << 8
        whole = jnp.zeros_like(numbers.weights[..., :1])
        within = WithinByte(numbers, first[..., None], self.heights(numbers, first), whole > 0, whole, whole)
        last = jnp.full_like(high, 256)
        within = within._replace(is_rare=(low.sums(within, last) < 1 << 25)[..., None])
        total = low.sums(within, last)[..., None]
        surplus = 32 - SHARE_BITS - jax.lax.clz(total)
        return low, within._replace(surplus=surplus, total=total >> surplus)

    def log_frequencies(self, numbers: Logistics) -> Float[Array, "*subpixels levels"]:
        high = super().log_frequencies(numbers)
        numbers = jax.tree.map(lambda x: jnp.repeat(x[..., None, :], self.size, axis=-2), numbers)
        low, within = self.low_byte(numbers, jax.lax.broadcasted_iota(jnp.int32, high.shape, high.ndim - 1))
        every = high[..., None] + low.log_frequencies(within)
        return every.reshape(*high.shape[:-1], -1)[..., : self.levels]


class WithinByte(NamedTuple):
    """Integers of the low byte's frequencies, given the high byte.

    Attributes:
      logistics: of the mixture.
      first: lowest level with this high byte.
      heights: every component's CDF there.
      is_rare: whether sums keep the six bits that they would otherwise lose.
      surplus: number of bits by which sums are shifted right, so that the largest has 16 bits. total: largest sum after
        this shift.
    """

    logistics: Logistics
    first: Int32[Array, "*subpixels 1"]
    heights: UInt32[Array, "*subpixels weights"]
    is_rare: Bool[Array, "*subpixels 1"]
    surplus: UInt32[Array, "*subpixels 1"]
    total: UInt32[Array, "*subpixels 1"]


class LowByte(WideMixture):
    """Frequencies of the low byte of a value."""

    size = 256

    def sums(self, within: WithinByte, values: SymbolValues) -> Frequencies:
        """Sums weights times CDFs; adds 2**-30 of probability for every value, so that no total is 0."""
        weights, rest = within.logistics.weights, WIDE_HEIGHT_BITS - HEIGHT_BITS
        heights = self.heights(within.logistics, within.first[..., 0] + values) - within.heights
        high = jnp.sum(weights * (heights >> rest), axis=-1, dtype=jnp.uint32)
        low = jnp.sum(weights * (heights & ((1 << rest) - 1)), axis=-1, dtype=jnp.uint32)
        even, rare = values.astype(jnp.uint32), within.is_rare[..., 0]
        return jnp.where(rare, (high << rest) + low + (even << 8), high + (low >> rest) + (even << 2))

    def bound(self, numbers: Any, values: SymbolValues) -> Frequencies:
        sums = self.sums(numbers, values) >> numbers.surplus[..., 0]
        shares = sums * np.uint32((1 << SHARE_BITS) - 16) // numbers.total[..., 0]
        inner, last = values.astype(jnp.uint32) + (shares << 4), np.uint32(1 << MIXTURE_BITS)
        return jnp.where(numbers.first[..., 0] + values >= self.levels, last, inner)


Distribution = IntegerSoftmax | IntegerMixture  # converts the outputs of a head to frequencies


def symbol_intervals(
    distribution: Distribution, numbers: Any, values: Values
) -> tuple[UInt32[Array, "*subpixels symbols"], UInt32[Array, "*subpixels symbols"]]:
    """Computes the lower bound and frequency of every symbol of a value."""
    values = jnp.asarray(values).astype(jnp.int32)
    if isinstance(distribution, HighByte):
        low = distribution.low_byte(numbers, values >> 8)
        parts = [interval(distribution, numbers, values >> 8), interval(*low, values & 255)]
    else:
        parts = [interval(distribution, numbers, values)]
    starts, frequencies = (jnp.stack(x, axis=-1) for x in zip(*parts, strict=True))
    return starts, frequencies


def interval(distribution: Distribution, numbers: Any, values: Array) -> tuple[Frequencies, Frequencies]:
    """Computes a value's lower bound and frequency."""
    start = distribution.bound(numbers, values)
    return start, distribution.bound(numbers, values + 1) - start


def cumulative_weights(
    exp: UInt32[Array, " entries"], logits: Float[Array, "*subpixels parts"]
) -> UInt32[Array, "*subpixels bounds"]:
    """Computes cumulative sums of exponentials, scaled to 16 bits."""
    below = jnp.minimum(jnp.max(logits, axis=-1, keepdims=True) - logits, exp.size - 1).astype(jnp.int32)
    sums = jnp.cumsum(exp.at[below].get(mode="promise_in_bounds"), axis=-1, dtype=jnp.uint32)
    # The largest logit has 2**16, so the total has 17 to 28 bits; it keeps the highest 16.
    surplus = 32 - SHARE_BITS - jax.lax.clz(sums[..., -1:])
    return jnp.pad(sums, [(0, 0)] * (sums.ndim - 1) + [(1, 0)]) >> surplus


def log_of_frequency(frequencies: UInt32[Array, "*shape"], total_bits: int) -> Float[Array, "*shape"]:
    """Computes log(f / 2**total_bits)."""
    return jnp.log(frequencies.astype(jnp.float32) * np.float32(2.0**-total_bits))
