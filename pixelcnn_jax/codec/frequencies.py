"""Integer logits as integer frequencies, for a network computed in integers.

The logits have a step: they are multiples of 2**-8. Their exponentials are a stored table, and the frequencies of the
levels of a sub-pixel sum to 2**16. All arithmetic is that of uint32 and nothing overflows: the table's entries are at
most 2**16, ``MAX_LEVELS`` of them are summed, and both factors of a product are below 2**16.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt32

TOTAL_BITS = 16
MAX_LEVELS = 2**12  # every level has a frequency of at least 1, which costs little up to there
LOGIT_STEP = 8
EXP_SIZE = 3018  # 2**16 exp(-d 2**-8) rounds to 0 from d = 3017 on


def scaled_cumulative(
    exp: UInt32[Array, " entries"], logits: Float[Array, "*subpixels levels"]
) -> tuple[UInt32[Array, "*subpixels bounds"], UInt32[Array, "*subpixels 1"]]:
    """Returns the numerators a_0 .. a_levels and the denominator of a distribution's bounds, b_i = i + a_i // total.

    The bounds run from 0 to 2**16, and each is at least one above the last. The frequency of level i is b_(i+1) - b_i.
    """
    below = jnp.minimum(jnp.max(logits, axis=-1, keepdims=True) - logits, exp.size - 1).astype(jnp.int32)
    sums = jnp.cumsum(exp.at[below].get(mode="promise_in_bounds"), axis=-1, dtype=jnp.uint32)
    # The largest logit has 2**16, so the total has 17 to 28 bits; it keeps the highest 16.
    surplus = 16 - jax.lax.clz(sums[..., -1:])
    sums = jnp.pad(sums, [(0, 0)] * (sums.ndim - 1) + [(1, 0)]) >> surplus
    return sums * np.uint32((1 << TOTAL_BITS) - logits.shape[-1]), sums[..., -1:]


def interval(
    scaled: UInt32[Array, "*subpixels bounds"], total: UInt32[Array, "*subpixels 1"], values: Array | np.ndarray
) -> tuple[UInt32[Array, "*subpixels"], UInt32[Array, "*subpixels"]]:
    """Returns the bound below a value, and the value's frequency."""
    values = jnp.asarray(values).astype(jnp.int32)[..., None]

    def bound(i: Array) -> Array:
        return (i.astype(jnp.uint32) + jnp.take_along_axis(scaled, i, axis=-1) // total)[..., 0]

    start = bound(values)
    return start, bound(values + 1) - start


def log_frequencies(
    scaled: UInt32[Array, "*subpixels bounds"], total: UInt32[Array, "*subpixels 1"]
) -> Float[Array, "*subpixels levels"]:
    """Returns the log-probability of every level."""
    bounds = jax.lax.broadcasted_iota(jnp.uint32, scaled.shape, scaled.ndim - 1) + scaled // total
    return log_of_frequency(bounds[..., 1:] - bounds[..., :-1])


def log_of_frequency(frequencies: UInt32[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Returns log(f / 2**16)."""
    return jnp.log(frequencies.astype(jnp.float32) * np.float32(2.0**-TOTAL_BITS))
