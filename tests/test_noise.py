"""The entropies of noise, against sums over all outcomes."""

import numpy as np
import pytest
from scipy.special import exp1, ndtr
from scipy.stats import poisson

from pixelcnn_jax import InputError
from pixelcnn_jax.noise import BernoulliFlips, Gaussian, Poisson, as_counts

COUNTS = np.arange(1500)


def entropy(p):
    return -np.sum(p * np.log(np.where(p > 0, p, 1)), axis=-1)


@pytest.mark.parametrize("x", [0, 0.01, 0.22, 3, 29.9, 30.1, 1000])
def test_the_entropy_of_a_count_and_the_bias_of_its_estimate(x):
    p = poisson.pmf(COUNTS, x)
    assert Poisson().entropy([x]) == pytest.approx(entropy(p), abs=3e-7)
    bias = p @ Poisson().estimate(COUNTS) - entropy(p)
    assert bias == pytest.approx(-x * exp1(2 * x) if x else 0, abs=1e-9)
    assert bias > -0.141  # as the docstring says
    assert np.isnan(Poisson().entropy(np.array([np.nan]))).all()
    np.testing.assert_array_equal(Poisson().estimate([True, False, 1]), Poisson().estimate([1, 0, 1, -5])[:3])
    assert BernoulliFlips(0.0).entropy(0.5) == 0


@pytest.mark.parametrize(("sigma", "tolerance"), [(0.5, 0.014), (1.0, 2e-6), (4.0, 1e-8)])
def test_the_entropy_of_rounded_gaussian_noise(sigma, tolerance):
    clean = np.linspace(0, 1, 101)
    edges = (np.arange(-40, 42) - 0.5 - clean[:, None]) / sigma
    assert abs(entropy(np.diff(ndtr(edges))) - Gaussian(sigma).entropy(clean)).max() < tolerance * np.log(2)
    with pytest.raises(InputError, match="as_counts"):
        Gaussian(0.49)


def test_floats_become_levels_finer_than_their_noise(capsys):
    images, noise = as_counts(np.array([[-0.5, 0.0, 1.02]]), sigma=0.1)
    np.testing.assert_array_equal(images, [[0, 20, 61]])
    assert (images.dtype, noise) == (np.uint16, Gaussian(4.0))
    assert "steps of 0.025, a quarter of the noise, from -0.5: 62 levels" in capsys.readouterr().err
    for measured, sigma in ([0.0, np.nan], 0.1), ([0.0, 2000.0], 0.1), ([0.0, 1.0], -1.0), ([0.0, 1.0], 0.0):
        with pytest.raises(InputError, match="65535 steps"):
            as_counts(np.array(measured), sigma=sigma)
