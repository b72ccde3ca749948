"""Images to codes and back."""

import jax
import numpy as np

from experiments.extensions.codes import codes_of, fit_patches, images_of, patches_of
from pixelcnn_jax.data.loading import from_array


def test_patches_come_back():
    images = jax.random.randint(jax.random.key(0), (3, 8, 16, 2), 0, 5)
    known = patches_of(images, 4, 5).reshape(-1, 32)
    actual = codes_of(images, known, 5)
    assert actual.shape == (3, 2, 4, 1)
    np.testing.assert_allclose(images_of(actual, known, 2) * 4, images, atol=1e-5)


def test_it_learns_the_patches_that_there_are():
    black_and_white = np.repeat([0, 4], 5).reshape(10, 1, 1, 1).repeat(4, axis=1).repeat(4, axis=2)
    dataset = from_array(black_and_white, levels=5)
    known = fit_patches(dataset, 4, count=2, seed=0)
    np.testing.assert_allclose(np.sort(known[:, 0]), [0, 1], atol=1e-6)
