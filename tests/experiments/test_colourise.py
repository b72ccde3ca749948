"""Colours given the grey image."""

import jax.numpy as jnp
import numpy as np
from PIL import Image

from experiments.extensions.colourise import map_of
from pixelcnn_jax.data.preparation import luma


def test_grey_is_the_luma_that_pillow_computes():
    images = np.random.default_rng(0).integers(0, 256, (1, 9, 7, 3))
    expected = np.asarray(Image.fromarray(images[0].astype(np.uint8)).convert("L"))
    np.testing.assert_array_equal(luma(jnp.asarray(images))[0, ..., 0], expected)
    white = jnp.full((1, 1, 1, 3), 2**16 - 1)
    np.testing.assert_array_equal(luma(white), white[..., :1])


def test_the_map_is_the_grey_image_and_a_constant():
    s = map_of(jnp.asarray([[[[0, 0, 0], [255, 255, 255]]]]), 256)
    np.testing.assert_allclose(s, [[[[-1, 1], [1, 1]]]])
