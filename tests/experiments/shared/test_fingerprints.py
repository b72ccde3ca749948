"""Fingerprints of images, and which images are different."""

import numpy as np

from experiments.shared.fingerprints import fingerprint, index_of_different_image


def test_a_different_image_is_chosen_by_its_pixels():
    pool = np.arange(5).reshape(5, 1, 1, 1).repeat(2, axis=0)
    assert np.all(pool[index_of_different_image(pool, pool)] != pool)
    many = np.arange(100).reshape(100, 1, 1, 1)
    assert len(np.unique(index_of_different_image(many, pool))) == len(pool)
    assert index_of_different_image(pool[:1], pool[:2]) < 2  # there is no different one


def test_a_fingerprint_does_not_depend_on_the_batch():
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 3, 2))
    np.testing.assert_array_equal(fingerprint(images)[3:], fingerprint(images[3:]))
    assert len(np.unique(fingerprint(images))) == 6
