"""Colours given the grey image."""

import jax.numpy as jnp
import numpy as np

from experiments.extensions.colourise import map_of
from pixelcnn_jax.data.preparation import luma


def test_white_of_any_number_of_levels_is_white_and_the_map_is_the_grey_image_and_a_constant():
    white = jnp.full((1, 1, 1, 3), 2**16 - 1)
    np.testing.assert_array_equal(luma(white), white[..., :1])
    s = map_of(jnp.asarray([[[[0, 0, 0], [255, 255, 255]]]]), 256)
    np.testing.assert_allclose(s, [[[[-1, 1], [1, 1]]]])
