"""Interleaved rANS (Duda 2013): 32-bit states, byte-wise renormalisation.

Image j of a group belongs to lane j modulo the lanes, which share one byte stream. States stay in [2**24, 2**32);
frequencies sum to 2**16 or 2**20. Decoding must end at the initial state, 2**24 plus the number of the tile.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, UInt8, UInt32

from pixelcnn_jax.codec.container import LOW
from pixelcnn_jax.codec.frequencies import Distribution

DecoderState = tuple[UInt32[Array | np.ndarray, "groups lanes"], Int[Array | np.ndarray, " groups"]]
Counts = UInt32[Array | np.ndarray, "groups images subpixels"]


def encode(
    strips: list[tuple[Counts, Counts]], states: UInt32[Array | np.ndarray, "groups lanes"], *, total_bits: int
) -> list[bytes]:
    """Encodes each group: lane states, then bytes in decoding order.

    Args:
      strips: start and frequency per symbol, in decoding order; frequency 0 marks padding. Images are a multiple of
        the lanes.
      states: initial state of every lane.
      total_bits: frequencies sum to two to this power.
    """
    groups, states = range(len(states)), jnp.asarray(states)
    pieces: list[list[bytes]] = []
    for starts, frequencies in reversed(strips):
        states, *coded = _encode(states, starts, frequencies, total_bits)
        pushed, used = map(np.asarray, coded)
        pieces.append([pushed[:, group][used[:, group]].tobytes() for group in groups])
    heads = [state.astype("<u4").tobytes() for state in np.asarray(states)]
    return [b"".join(parts) for parts in zip(heads, *reversed(pieces), strict=True)]


@jax.jit(static_argnames="total_bits")
def _encode(
    states: UInt32[Array, "groups lanes"], starts: Counts, frequencies: Counts, total_bits: int
) -> tuple[Array, Array, Array]:
    (groups, images, subpixels), lanes = starts.shape, states.shape[1]

    def in_order(x: Array | np.ndarray) -> Array:
        steps = x.reshape(groups, images // lanes, lanes, subpixels)
        return jnp.transpose(steps, (3, 1, 0, 2)).reshape(-1, groups, lanes)

    def push(state: Array, step: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        start, frequency = step
        present, divisor = frequency > 0, jnp.maximum(frequency, 1)
        pushed, used = [], []
        for _ in range(-(-total_bits // 8)):
            full = present & (state >> (32 - total_bits) >= divisor)  # shifting divisor would overflow at probability 1
            pushed.append(state.astype(jnp.uint8))
            used.append(full)
            state = jnp.where(full, state >> 8, state)
        state = jnp.where(present, (state // divisor << total_bits) + start + state % divisor, state)
        # The decoder reads first what was pushed last.
        return state, (jnp.stack(pushed[::-1], axis=-1), jnp.stack(used[::-1], axis=-1))

    steps = in_order(starts), in_order(frequencies)
    states, (pushed, used) = jax.lax.scan(push, states, steps, reverse=True)
    return states, pushed, used


def decode_symbol(
    distribution: Distribution,
    numbers: Any,
    present: Bool[Array | np.ndarray, "groups images"],
    coder: DecoderState,
    data: UInt8[Array | np.ndarray, "groups bytes"],
) -> tuple[Int[Array, "groups images"], DecoderState]:
    """Decodes one symbol of all images, and advances states and positions.

    Args:
      distribution, numbers: as from ``Distribution.read``, leaves [groups, images, _].
      present: false for padding.
      coder: states, and position of each group in its data.
      data: bytes of each group; nothing past their end is read.
    """
    groups, images = present.shape
    lanes, bits = coder[0].shape[1], distribution.total_bits
    most = -(-bits // 8)  # bytes

    def in_order(x: Array | np.ndarray) -> Array:
        return jnp.moveaxis(x.reshape(groups, images // lanes, lanes, *x.shape[2:]), 1, 0)

    def pop(coder: DecoderState, step: tuple[Any, Array]) -> tuple[DecoderState, Array]:
        (state, position), (numbers, present) = (jnp.asarray(x) for x in coder), step
        slot = state & np.uint32((1 << bits) - 1)
        values, start, frequency = distribution.level_at(numbers, slot)
        state = jnp.where(present, frequency * (state >> bits) + slot - start, state)
        count = sum(((state < LOW >> 8 * i).astype(jnp.int32) for i in range(most)), jnp.zeros(state.shape, jnp.int32))
        at = position[:, None] + jnp.cumsum(count, axis=1) - count
        for i in range(most):
            byte = jnp.take_along_axis(data, jnp.minimum(at + i, data.shape[1] - 1), axis=1).astype(jnp.uint32)
            state = jnp.where(count > i, state << 8 | byte, state)
        return (state, position + count.sum(axis=1, dtype=jnp.int32)), jnp.where(present, values, 0)

    coder, values = jax.lax.scan(pop, coder, (jax.tree.map(in_order, numbers), in_order(present)))
    return jnp.moveaxis(values, 0, 1).reshape(groups, images), coder
