import numpy as np
import pytest
from scipy import stats

from pixelcnn_jax.data import baselines as module
from pixelcnn_jax.data.baselines import BASELINES, baselines, gaussian
from pixelcnn_jax.data.dataset import DataConfig, from_array, load_splits
from pixelcnn_jax.foundation.errors import InputError


def test_the_baselines_of_the_digits_are_the_published_ones():
    table = baselines(load_splits(DataConfig()), BASELINES)
    bits = {name: [round(nats / (64 * np.log(2)), 2) for nats in found.values()] for name, found in table.items()}
    assert bits == {"uniform": [4.09, 4.09], "independent pixels": [2.49, 2.4], "multivariate Gaussian": [3.1, 2.96]}
    assert [*table["uniform"]] == ["validation", "test"]


def test_the_gaussian_by_hand():
    """Two sub-pixels: the mean over the noise, by many values of it."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 5, (50, 1, 2, 1)) + generator.integers(0, 3, (50, 1, 1, 1))
    dataset = from_array(images, levels=7)
    flat = images.reshape(50, 2)
    noisy = flat[None] + (np.stack(np.meshgrid(np.arange(40), np.arange(40)), -1).reshape(-1, 1, 2) + 0.5) / 40
    density = stats.multivariate_normal(flat.mean(axis=0) + 0.5, np.cov(flat.T, bias=True) + np.eye(2) / 12)
    expected = -density.logpdf(noisy).mean()
    np.testing.assert_allclose(gaussian(dataset)(dataset), expected, rtol=1e-4)


def test_refusals(monkeypatch):
    monkeypatch.setattr(module, "MAX_GAUSSIAN_SIZE", 3)
    with pytest.raises(InputError, match="resize"):
        gaussian(from_array(np.zeros((2, 2, 2), int), levels=2))
