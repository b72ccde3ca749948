"""The entropy coder and the frequencies that it is given, without a network."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from integer_models import COUNTS

from pixelcnn_jax.codec import rans
from pixelcnn_jax.codec.frequencies import Cumulative, IntegerSoftmax, log_of_frequency, symbol_intervals
from pixelcnn_jax.codec.integer_stream import TABLE_TYPES, distribution_of
from pixelcnn_jax.codec.tables import make_tables, output_units
from pixelcnn_jax.distributions import mixture_logits


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


def mixtures(levels, low, high):
    """Outputs of a head for random mixtures of two logistics and two point masses, and what the codec makes of them."""
    random, model = np.random.default_rng(0), COUNTS.clone(levels=levels, channels=1, linear_prediction=False)
    means, log_scales = random.uniform(-0.5, 0.5, (20, 2)), random.uniform(low, high, (20, 2)) + np.log(4)
    outputs = np.concatenate([random.normal(size=(20, 2)), means, log_scales, random.normal(size=(20, 2)) - 2], axis=1)
    units, offsets, steps = output_units(model)
    tables = {name: jnp.asarray(x, TABLE_TYPES.get(name)) for name, x in make_tables(model).items()}
    distribution = distribution_of(model, tables)
    numbers = distribution.read(jnp.asarray(np.rint((outputs * units + offsets) * 2.0**steps), jnp.float32))
    return jnp.asarray(outputs, jnp.float32), distribution, numbers


NARROW = [(300, -8.2, -5.2), (1100, -9.5, -6.5), (4096, -10.8, -7.8)]
WIDE = [(4097, -9, -2), (5000, -9, -2), (2**16, -11, -7), (2**16, -7, -2)]


@pytest.mark.parametrize(("levels", "low", "high"), NARROW + WIDE)
def test_frequencies_are_close_to_the_mixture_and_values_come_back(levels, low, high):
    outputs, distribution, numbers = mixtures(levels, low, high)
    exact, ours = mixture_logits(outputs, levels=levels), np.asarray(distribution.log_frequencies(numbers), np.float64)
    np.testing.assert_allclose(np.exp(ours).sum(axis=-1), 1, rtol=1e-5)
    divergence, entropy = np.sum(np.exp(exact) * np.stack([exact - ours, -exact]), axis=-1).mean(axis=1)
    assert divergence < 0.01
    assert entropy < (low + high) / 2 + np.log(levels / 2) + 3.4  # of a logistic, and of choosing one
    values = jax.random.categorical(jax.random.key(0), exact).at[:4].set(jnp.array([0, levels - 1, levels - 2, 1]))
    starts, frequencies = symbol_intervals(distribution, numbers, values)
    np.testing.assert_allclose(log_of_frequency(frequencies, 20).sum(axis=-1), ours[np.arange(20), values], rtol=1e-6)
    for slot in (starts, starts + frequencies - 1):
        found, *interval = distribution.level_at(numbers, slot[:, 0])
        np.testing.assert_array_equal(interval, [starts[:, 0], frequencies[:, 0]])
        if levels > 2**12:
            low_byte, of_high = distribution.low_byte(numbers, found)
            found = 256 * found + low_byte.level_at(of_high, slot[:, 1])[0]
        np.testing.assert_array_equal(found, values)
