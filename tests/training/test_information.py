"""Information against closed forms, by modules that know the true distribution."""

import flax.linen as nn
import jax
import numpy as np
import pytest
from scipy.stats import gamma, nbinom

from pixelcnn_jax import InputError, information
from pixelcnn_jax.noise import BernoulliFlips, Gaussian, Poisson


class Pairs(nn.Module):
    """The true distribution of images of two pixels, from the probabilities [levels, levels] of both."""

    joint: tuple
    channels: int = 1

    @property
    def levels(self):
        return len(self.joint)

    @nn.compact
    def __call__(self, images):
        joint = np.log(np.asarray(self.joint, np.float32) + 1e-30)
        first, second = (jax.numpy.asarray(x) for x in (np.logaddexp.reduce(joint, axis=1), joint))
        left = images[:, :, 0]
        return jax.numpy.stack([jax.numpy.broadcast_to(first, (*left.shape, len(first))), second[left]], axis=2)


def pairs(joint):
    return Pairs(tuple(map(tuple, joint.tolist())))


def entropy(p):
    return -np.sum(p * np.log2(np.where(p > 0, p, 1)))


def gamma_poisson():
    shape, scale, levels = 3, 4, 128
    p = nbinom.pmf(np.arange(levels), shape, 1 / (1 + scale))
    mean_noise = gamma(shape, scale=scale).expect(lambda x: Poisson().entropy(x) / np.log(2), epsabs=1e-6)

    def draw(random, count):
        clean = random.gamma(shape, scale, (count, 1, 2, 1))
        return clean, np.minimum(random.poisson(clean), levels - 1)

    return pairs(np.outer(p, p)), draw, Poisson(), entropy(p) - mean_noise


def correlated_gaussian():
    covariance, sigma, middle, levels = 36 * np.array([[1, 0.8], [0.8, 1]]), 2.0, 32, 64
    total = covariance + sigma**2 * np.eye(2)
    inverse, y = np.linalg.inv(total + np.eye(2) / 12), np.arange(levels) - middle
    p = np.exp(-0.5 * np.einsum("aij,ab,bij->ij", pair := np.stack(np.meshgrid(y, y, indexing="ij")), inverse, pair))

    def draw(random, count):
        clean = random.multivariate_normal([middle] * 2, covariance, count).reshape(count, 1, 2, 1)
        return clean, np.clip(np.round(clean + sigma * random.normal(size=clean.shape)), 0, levels - 1).astype(int)

    return pairs(p / p.sum()), draw, Gaussian(sigma), 0.25 * np.log2(np.linalg.det(total) / sigma**4)


def binary_symmetric():
    change, flip = 0.1, 0.05
    seen = change * (1 - 2 * flip) ** 2 + 2 * flip * (1 - flip)  # probability that the measured pixels differ
    joint = np.array([[1 - seen, seen], [seen, 1 - seen]]) / 2

    def draw(random, count):
        first = random.random((count, 1, 1, 1)) < 0.5
        clean = np.concatenate([first, first ^ (random.random(first.shape) < change)], axis=2)
        return clean, clean ^ (random.random(clean.shape) < flip)

    return pairs(joint), draw, BernoulliFlips(flip), entropy(joint) / 2 - entropy(np.array([flip, 1 - flip]))


SYSTEMS = {system.__name__: system() for system in (gamma_poisson, correlated_gaussian, binary_symmetric)}


@pytest.mark.parametrize("name", SYSTEMS)
def test_information_is_that_of_the_closed_form(name):
    model, draw, noise, truth = SYSTEMS[name]
    clean, noisy = draw(np.random.default_rng(0), 30_000)
    for known in (clean, None):
        found = information(model, {}, noisy, noise=noise, clean=known, batch_size=30_000)
        assert found.bits == pytest.approx(truth, rel=0.03, abs=0.01)
        assert found.interval[0] < found.bits < found.interval[1]
        assert found.bits == found.entropy - found.noise_entropy
        assert found.images == 30_000


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_interval_covers_the_closed_form(name):
    model, draw, noise, truth = SYSTEMS[name]
    random, intervals = np.random.default_rng(1), []
    for _ in range(100):
        clean, noisy = draw(random, 80)
        intervals.append(information(model, {}, noisy, noise=noise, clean=clean, batch_size=80).interval)
    assert 88 <= sum(low < truth < high for low, high in intervals) <= 99


def test_noiseless_images_are_those_of_the_measured():
    model, draw, noise, _ = SYSTEMS["binary_symmetric"]
    clean, noisy = draw(np.random.default_rng(0), 5)
    assert information(model, {}, noisy[:1], noise=noise, clean=clean[:1]).interval == (-np.inf, np.inf)
    assert information(model, {}, noisy, noise=noise, clean=clean[..., 0]).images == 5
    with pytest.raises(InputError, match=r"be finite and of shape \[5, 1, 2, 1\], got \[4, 1, 2, 1\]; so must clean"):
        information(model, {}, noisy, noise=noise, clean=clean[:4])


def test_noise_has_an_entropy_for_each_sub_pixel():
    class PerImage:
        def entropy(self, clean):
            return np.ones((len(clean), 1, 1, 1))

    model, draw, *_ = SYSTEMS["binary_symmetric"]
    clean, noisy = draw(np.random.default_rng(0), 5)
    with pytest.raises(InputError, match=r"entropy of the noise must be finite and of shape \[5, 1, 2, 1\]"):
        information(model, {}, noisy, noise=PerImage(), clean=clean)
