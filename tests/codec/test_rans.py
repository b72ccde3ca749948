"""The entropy coder alone."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pixelcnn_jax.codec import rans
from pixelcnn_jax.codec.frequencies import Cumulative, IntegerSoftmax


@pytest.mark.parametrize("certain", [False, True])
def test_the_coder_holds_extreme_frequencies(certain):
    """A level of frequency 1, or of all but one, at every step."""
    frequency = np.uint32(2**16 - 1 if certain else 1)
    shape = (2, 4, 40)
    start = np.zeros(shape, np.uint32) if certain else np.full(shape, 2**16 - 1, np.uint32)
    strips = [(x, np.full(x.shape, frequency)) for x in np.split(start, 2, axis=-1)]
    states = np.full((2, 2), rans.LOW, np.uint32)
    streams = rans.encode(strips, states, total_bits=16)
    assert (
        rans.encode([(0 * start, np.full(shape, np.uint32(2**16)))], states, total_bits=16) == [states[0].tobytes()] * 2
    )
    data = np.zeros((2, 512), np.uint8)
    for row, stream in enumerate(streams):
        data[row, : len(stream) - 8] = np.frombuffer(stream[8:], np.uint8)
    coder = np.stack([np.frombuffer(stream[:8], "<u4") for stream in streams]), np.zeros(2, np.int32)
    # Two levels, of which the first has all but one: a_1 = (2**16 - 2) (2**15 + ...) // total.
    scaled = np.broadcast_to(np.array([0, 65534 * 32768, 65534 * 32768], np.uint32), (2, 4, 3))
    total, present = np.full((2, 4, 1), 32768, np.uint32), np.ones((2, 4), bool)
    step = jax.jit(partial(rans.decode_symbol, IntegerSoftmax(jnp.zeros(1, jnp.uint32))))
    for _ in range(40):
        values, coder = step(Cumulative(jnp.asarray(scaled), jnp.asarray(total)), present, coder, data)
        assert (np.asarray(values) == (0 if certain else 1)).all()
    assert (np.asarray(coder[0]) == rans.LOW).all()
    assert list(coder[1]) == [len(stream) - 8 for stream in streams]
