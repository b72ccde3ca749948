"""Networks in float64: the same densities as in float32, to more digits."""

from functools import partial

import jax
import numpy as np
import pytest
from proofs import all_images, randomised

from pixelcnn_jax import DiagonalBiLSTM, GatedPixelCNN, InputError, evaluate, log_prob, sample, sample_and_log_prob
from pixelcnn_jax.likelihood import nll
from pixelcnn_jax.models.products import window_product

pytestmark = pytest.mark.usefixtures("strict_dtypes")
SMALL = dict(levels=3, channels=2, features=4, layers=1, first_kernel_size=3)
EVERY = all_images(GatedPixelCNN(**SMALL), (1, 2))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (GatedPixelCNN, {}),
        (GatedPixelCNN, dict(mixture=2, point_masses=True, linear_prediction=True)),
        (DiagonalBiLSTM, {}),
    ],
)
def test_probabilities_of_all_images_sum_to_one_in_twelve_digits(kind, options):
    h = np.ones((len(EVERY), 2), np.float32)
    single = kind(**SMALL, **options)
    variables = randomised(single.init(jax.random.key(0), EVERY[:1], h[:1]))  # float32, as a file holds them
    expected, key = log_prob(single, variables, EVERY, h=h), jax.random.key(1)
    with jax.enable_x64(True):
        double = single.clone(dtype="float64")
        actual = np.asarray(log_prob(double, variables, EVERY, h=h))
        drawn, log_probs = sample_and_log_prob(double, variables, key, shape=(3, 1, 2), h=h[:3])
        h = h.astype(np.float64) + 1e-9  # lost in float32
        mean = evaluate(double, variables, EVERY, h=h).nats
        np.testing.assert_allclose(mean, -log_prob(double, variables, EVERY, h=h).mean(), rtol=1e-13)
        places = [np.flatnonzero((np.asarray(x) == EVERY).all((1, 2, 3)))[0] for x in drawn]
    assert actual.dtype == log_probs.dtype == np.float64
    assert abs(np.exp(actual).sum() - 1) < 1e-12
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(log_probs, actual[places], rtol=1e-12)


def test_a_float32_network_computes_the_same_where_jax_has_64_bits():
    model, key, generator = GatedPixelCNN(**SMALL, dropout=0.5), jax.random.key(2), np.random.default_rng(0)
    condition = dict(h=generator.random((8, 3)), s=generator.random((8, 1, 2, 2)))

    def results():
        variables = model.init(key, EVERY[:1], *(x[:1].astype(np.float32) for x in condition.values()))
        drawn = sample(model, variables, key, shape=(8, 1, 2), **condition, guidance=1.0, temperature=np.float64(0.6))
        return variables, drawn, nll(model, variables, EVERY[:8], **condition, key=key)

    expected = results()
    with jax.enable_x64(True):
        jax.tree.map(partial(np.testing.assert_array_equal, strict=True), results(), expected)


def test_windows_of_float64_and_kernels_of_float32():
    with jax.enable_x64(True):
        actual = window_product(jax.numpy.ones((1, 3, 4, 2), np.float64), jax.numpy.ones((3, 3, 2, 5), np.float32))
    np.testing.assert_array_equal(actual, np.full((1, 1, 2, 5), 18.0))


def test_float64_is_refused_where_jax_has_32_bits():
    with pytest.raises(InputError, match=r"^dtype float64 needs .*jax_enable_x64"):
        GatedPixelCNN(dtype="float64")
    with jax.enable_x64(True):
        model = GatedPixelCNN(**SMALL, dtype="float64")
        variables = model.init(jax.random.key(0), EVERY[:1])
    with pytest.raises(InputError, match="dtype float64"):
        log_prob(model, variables, EVERY)
