"""Counts: values of more than 12 bits as two bytes, and large images in tiles."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from integer_models import COUNTS, PREDICTION, condition_of, make_integer
from proofs import random_images
from test_coding import decode_in_numpy

from pixelcnn_jax import InputError, compress, decompress, log_prob
from pixelcnn_jax.codec import container, groups
from pixelcnn_jax.codec.container import digest, pack, unpack
from pixelcnn_jax.codec.frequencies import log_of_frequency, symbol_intervals
from pixelcnn_jax.codec.integer_stream import TABLE_TYPES, distribution_of
from pixelcnn_jax.codec.tables import make_tables, output_units
from pixelcnn_jax.distributions import centres_of, mixture_log_probs


def mixtures(levels, low, high, count=500):
    """Outputs of a head for random mixtures, their integers, and values drawn from them."""
    random, model = np.random.default_rng(0), COUNTS.clone(levels=levels, channels=1, linear_prediction=False)
    means, log_scales = random.uniform(-1, 1, (count, 2)), random.uniform(low, high, (count, 2))
    weights, ends = random.normal(size=(count, 2)), random.normal(size=(count, 2)) - 2
    outputs = np.concatenate([weights, means - centres_of(2), log_scales + np.log(4), ends], axis=1)
    units, offsets, steps = output_units(model)
    tables = {name: jnp.asarray(x, TABLE_TYPES.get(name)) for name, x in make_tables(model).items()}
    drawn = means[:, 0] + np.exp(log_scales[:, 0]) * random.logistic(size=count)
    values = np.clip(np.rint((drawn + 1) * (levels - 1) / 2), 0, levels - 1).astype(np.int32)
    values[:4] = 0, levels - 1, levels - 2, 1
    distribution = distribution_of(model, tables)
    numbers = distribution.read(jnp.asarray(np.rint((outputs * units + offsets) * 2.0**steps), jnp.float32))
    return outputs.astype(np.float32), distribution, numbers, values


@pytest.mark.parametrize(("levels", "low", "high"), [(2**16, -11, -7), (2**16, -7, -2), (5000, -9, -2), (4097, -9, -2)])
def test_two_bytes_are_close_to_the_mixture_and_come_back(levels, low, high):
    outputs, distribution, numbers, values = mixtures(levels, low, high)
    starts, frequencies = symbol_intervals(distribution, numbers, values)
    assert (frequencies >= 1).all()
    ours = np.asarray(log_of_frequency(frequencies, 20).sum(axis=-1))
    exact = np.asarray(mixture_log_probs(jnp.asarray(outputs), values, levels=levels))
    assert abs(np.mean(ours[4:] - exact[4:])) < 0.01
    assert -np.mean(exact[4:]) < (low + high) / 2 + np.log(levels / 2) + 3.4  # of a logistic, and of choosing one
    for slot in (starts, starts + frequencies - 1):
        high_byte, start, frequency = distribution.level_at(numbers, slot[:, 0])
        within, of_high = distribution.low_byte(numbers, high_byte)
        low_byte, *_ = within.level_at(of_high, slot[:, 1])
        np.testing.assert_array_equal(256 * np.asarray(high_byte) + low_byte, values)
        np.testing.assert_array_equal(np.stack([start, frequency]), [starts[:, 0], frequencies[:, 0]])
    every = np.asarray(distribution.log_frequencies(jax.tree.map(lambda x: x[:2], numbers)), np.float64)
    np.testing.assert_allclose(np.exp(every).sum(axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(every[np.arange(2), values[:2]], ours[:2], rtol=1e-6)


@pytest.mark.parametrize("levels", [300, 1100, 4096])
def test_up_to_twelve_bits_the_narrowest_logistics_are_exact(levels, tmp_path):
    outputs, distribution, numbers, values = mixtures(levels, -8 - np.log(levels / 256), -5 - np.log(levels / 256))
    starts, frequencies = symbol_intervals(distribution, numbers, values)
    exact = mixture_log_probs(jnp.asarray(outputs), values, levels=levels)
    assert abs(np.mean((log_of_frequency(frequencies, 20)[..., 0] - exact)[4:])) < 0.02
    np.testing.assert_array_equal(distribution.level_at(numbers, starts[..., 0])[0], values)
    _, model, integers = make_integer(PREDICTION.clone(levels=levels))
    images = np.asarray(random_images(model, (2, 4, 5), key=3))
    data = compress(model, integers, images)
    np.testing.assert_array_equal(decompress(model, integers, data), images)
    np.testing.assert_array_equal(decode_in_numpy(tmp_path, model, integers, data), images)


@pytest.fixture(scope="module")
def counts():
    """An integer model of 16 bits with s, its variables, and images in two sizes of tiles, with s."""
    variables, model, integers = make_integer(COUNTS, 0, 1, scale=0.1)
    images = np.asarray(random_images(model, (2, 7, 9), key=3)).astype(np.uint16)
    s = condition_of(images.shape, 0, 1).s
    return variables, model, integers, images, s, compress(model, integers, images, s=s, batch_size=1, tile=4)


def test_sixteen_bits_are_close_to_the_float_network(counts):
    variables, model, integers, images, s, _ = counts
    ours, exact = (np.asarray(log_prob(*x, images, s=s)) for x in ((model, integers), (COUNTS, variables)))
    np.testing.assert_allclose(ours, exact, rtol=0.02)


def test_a_decoder_in_numpy_integers_reads_tiles_of_sixteen_bits(counts, tmp_path):
    _, model, integers, images, s, data = counts
    np.testing.assert_array_equal(decode_in_numpy(tmp_path, model, integers, data, s=s), images)


def test_a_tile_is_decoded_alone_by_the_same_program(counts, monkeypatch):
    _, model, integers, images, s, data = counts
    decompress(model, integers, data, s=s[:1, :4, :4], group=0, tile=(0, 0))
    compiled = groups._decode_strip._cache_size()
    for (row, column), size in zip([(0, 0), (0, 2), (1, 0), (1, 2)], [(4, 4), (4, 1), (3, 4), (3, 1)], strict=True):
        window = np.s_[1:, 4 * row :, 4 * column :]
        of_tile = images[window][:, : size[0], : size[1]]
        part = decompress(model, integers, data, s=s[window][:, : size[0], : size[1]], group=1, tile=(row, column))
        assert part.dtype == np.uint16
        np.testing.assert_array_equal(part, of_tile)
    assert groups._decode_strip._cache_size() == compiled
    np.testing.assert_array_equal(decompress(model, integers, data, s=s), images)
    np.testing.assert_array_equal(decompress(model, integers, data, s=s[1:], group=1), images[1:])
    monkeypatch.setattr(container, "MAX_ROW", 4)  # of a tile, and no longer than that of an image
    assert compress(model, integers, images, s=s, batch_size=1, tile=4) == data
    for wrong in {"tile": (2, 0)}, {"tile": (0, -1)}, {"group": 2}:
        with pytest.raises(InputError, match=f"^{min(wrong)} must be"):
            decompress(model, integers, data, s=s, **wrong)


def test_tiles_in_another_order_and_false_claims_are_refused(counts, monkeypatch):
    _, model, integers, images, s, data = counts
    flat = np.zeros_like(s)  # other maps would tell the tiles apart
    coded = unpack(compress(model, integers, images, s=flat, batch_size=1, tile=4))
    first, second, *others = coded.streams
    swapped = dataclasses.replace(coded, streams=(second, first, *others))
    with pytest.raises(InputError, match="does not decode"):
        decompress(model, integers, pack(swapped), s=flat)
    monkeypatch.delattr(groups, "plan")  # nothing is planned or allocated
    for place, size, number in (34, 8, 2**40), (42, 4, 2**20), (46, 4, 2**20), (54, 4, 256), (66, 4, 1), (66, 4, 2**31):
        lying = data[:place] + number.to_bytes(size, "little") + data[place + size : -8]
        with pytest.raises(InputError, match=r"damaged|different model|sub-pixels"):
            decompress(model, integers, lying + digest(lying), s=s)
