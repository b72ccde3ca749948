"""Integer frequencies of a softmax, summing to ``2**total_bits``, each at least 1.

32 bits suffice: logits are multiples of 2**-8, table entries at most 2**16, and both factors of a product below 2**16.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt32

MAX_LEVELS = 2**12  # frequencies of at least 1 cost little up to there
SHARE_BITS = 16
LOGIT_STEP = 8
EXP_SIZE = 3018  # 2**16 exp(-d 2**-8) rounds to 0 from d = 3017 on


class Cumulative(NamedTuple):
    """Numerators a_i and denominator of a softmax's bounds, b_i = i + a_i // total.

    Level i has frequency b_(i+1) - b_i; bounds run from 0 to 2**16.
    """

    scaled: UInt32[Array, "*subpixels bounds"]
    total: UInt32[Array, "*subpixels 1"]


@dataclass(frozen=True)
class Softmax:
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

    def interval(
        self, numbers: Cumulative, values: Array | np.ndarray
    ) -> tuple[UInt32[Array, "*subpixels"], UInt32[Array, "*subpixels"]]:
        """Computes a value's lower bound and frequency."""
        values = jnp.asarray(values).astype(jnp.int32)[..., None]

        def bound(i: Array) -> Array:
            return (i.astype(jnp.uint32) + jnp.take_along_axis(numbers.scaled, i, axis=-1) // numbers.total)[..., 0]

        start = bound(values)
        return start, bound(values + 1) - start

    def level_at(
        self, numbers: Cumulative, slot: UInt32[Array, "*subpixels"]
    ) -> tuple[Int[Array, "*subpixels"], UInt32[Array, "*subpixels"], UInt32[Array, "*subpixels"]]:
        """Finds the interval of a slot without division.

        A bound is at most the slot if and only if a_i < (slot - i + 1) total, a product below 2**32.
        """
        inner = numbers.scaled[..., 1:-1]
        i = jax.lax.broadcasted_iota(jnp.uint32, inner.shape, inner.ndim - 1) + 1
        at = slot[..., None]
        values = jnp.sum((at >= i) & (inner < (at - i + 1) * numbers.total), axis=-1, dtype=jnp.int32)
        return values, *self.interval(numbers, values)

    def log_frequencies(self, numbers: Cumulative) -> Float[Array, "*subpixels levels"]:
        scaled, total = numbers
        bounds = jax.lax.broadcasted_iota(jnp.uint32, scaled.shape, scaled.ndim - 1) + scaled // total
        return log_of_frequency(bounds[..., 1:] - bounds[..., :-1], self.total_bits)


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
