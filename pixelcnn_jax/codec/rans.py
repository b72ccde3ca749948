"""Interleaved range asymmetric numeral systems (rANS, Duda 2013), compiled: 32-bit states, a byte at a time.

A group of images has some *lanes*, each with a state of its own; image j belongs to lane j modulo the lanes. The lanes
share one stream of bytes. States stay in [2**24, 2**32), and frequencies sum to 2**16, so that uint32 holds every
product. The encoder starts each lane at 2**24, where the decoder must end.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, UInt8, UInt32

from pixelcnn_jax.codec.frequencies import TOTAL_BITS, interval

LOW = 1 << 24  # smallest state

Coder = tuple[UInt32[Array | np.ndarray, "groups lanes"], Int[Array | np.ndarray, " groups"]]
Counts = UInt32[Array | np.ndarray, "groups images subpixels"]


def encode(starts: Counts, frequencies: Counts, *, lanes: int) -> list[bytes]:
    """Returns the stream of each group: its lanes' states, then their bytes in the order of decoding.

    Args:
      starts, frequencies: the interval of each sub-pixel's value, in the order of decoding. A frequency of 0 marks an
        image that is not there. The number of images is a multiple of the number of lanes.
      lanes: number of states of a group.
    """
    states, pushed, used = (np.asarray(x) for x in _encode(starts, frequencies, lanes))
    groups = range(len(states))
    return [states[group].astype("<u4").tobytes() + pushed[:, group][used[:, group]].tobytes() for group in groups]


@partial(jax.jit, static_argnames="lanes")
def _encode(starts: Counts, frequencies: Counts, lanes: int) -> tuple[Array, Array, Array]:
    groups, images, subpixels = starts.shape

    def in_order(x: Array | np.ndarray) -> Array:
        steps = x.reshape(groups, images // lanes, lanes, subpixels)
        return jnp.transpose(steps, (3, 1, 0, 2)).reshape(-1, groups, lanes)

    def push(state: Array, here: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        start, frequency = here
        there, divisor = frequency > 0, jnp.maximum(frequency, 1)
        pushed, used = [], []
        for _ in range(2):
            full = there & (state >= divisor << (32 - TOTAL_BITS))
            pushed.append(state.astype(jnp.uint8))
            used.append(full)
            state = jnp.where(full, state >> 8, state)
        state = jnp.where(there, (state // divisor << TOTAL_BITS) + start + state % divisor, state)
        # The decoder reads first what was pushed last.
        return state, (jnp.stack(pushed[::-1], axis=-1), jnp.stack(used[::-1], axis=-1))

    first = jnp.full((groups, lanes), LOW, jnp.uint32)
    states, (pushed, used) = jax.lax.scan(push, first, (in_order(starts), in_order(frequencies)), reverse=True)
    return states, pushed, used


def decode_subpixel(
    scaled: UInt32[Array, "groups images bounds"],
    total: UInt32[Array, "groups images 1"],
    there: Bool[Array | np.ndarray, "groups images"],
    coder: Coder,
    data: UInt8[Array | np.ndarray, "groups bytes"],
) -> tuple[Int[Array, "groups images"], Coder]:
    """Returns the values of one sub-pixel of all images, and the states and positions in the data after it.

    Args:
      scaled, total: the distributions, as ``frequencies.scaled_cumulative`` returns them.
      there: false for an image that is not there.
      coder: the states, and the position of each group in its data.
      data: the bytes of each group. What lies past their end is never read.
    """
    groups, images = there.shape
    lanes = coder[0].shape[1]

    def in_order(x: Array | np.ndarray) -> Array:
        return jnp.moveaxis(x.reshape(groups, images // lanes, lanes, *x.shape[2:]), 1, 0)

    def pop(coder: Coder, here: tuple[Array, Array, Array]) -> tuple[Coder, Array]:
        (state, position), (scaled, total, there) = (jnp.asarray(x) for x in coder), here
        slot = state & np.uint32((1 << TOTAL_BITS) - 1)
        values = _level_at(scaled, total, slot)
        start, frequency = interval(scaled, total, values)
        decoded = frequency * (state >> TOTAL_BITS) + slot - start
        state = jnp.where(there, decoded, state)
        count = (state < LOW).astype(jnp.int32) + (state < LOW >> 8).astype(jnp.int32)
        at = position[:, None] + jnp.cumsum(count, axis=1) - count
        one, two = (
            jnp.take_along_axis(data, jnp.minimum(at + ahead, data.shape[1] - 1), axis=1).astype(jnp.uint32)
            for ahead in range(2)
        )
        state = jnp.where(count == 2, state << 16 | one << 8 | two, jnp.where(count == 1, state << 8 | one, state))
        return (state, position + count.sum(axis=1)), jnp.where(there, values, 0)

    coder, values = jax.lax.scan(pop, coder, (in_order(scaled), in_order(total), in_order(there)))
    return jnp.moveaxis(values, 0, 1).reshape(groups, images), coder


def _level_at(scaled: Array, total: Array, slot: Array) -> Int[Array, "groups lanes"]:
    """Returns the level whose interval holds a slot: how many bounds i + a_i // total are at most the slot.

    Without a division: the bound is, if a_i < (slot - i + 1) total, and the product is below 2**32.
    """
    inner = scaled[..., 1:-1]
    i = jax.lax.broadcasted_iota(jnp.uint32, inner.shape, inner.ndim - 1) + 1
    slot = slot[..., None]
    return jnp.sum((slot >= i) & (inner < (slot - i + 1) * total), axis=-1, dtype=jnp.int32)
