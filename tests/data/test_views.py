from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pixelcnn_jax.data.views import random_view, rotate, symmetries, views

pytestmark = pytest.mark.usefixtures("strict_dtypes")


@pytest.mark.parametrize(("height", "width", "count"), [(4, 4, 16), (3, 5, 12)])
def test_views_differ_and_the_first_is_the_identity(height, width, count):
    image = jnp.arange(1, height * width + 1).reshape(1, height, width, 1)
    shown = [np.asarray(view(image)) for view in views(height, width)]
    assert len(shown) == count
    assert len({view.tobytes() for view in shown}) == count
    np.testing.assert_array_equal(shown[0], image)
    assert all(view.shape == image.shape for view in shown)


def test_h_is_the_view_that_is_shown():
    images = jax.random.randint(jax.random.key(1), (300, 5, 5, 1), 0, 200)
    shown, h = jax.jit(partial(random_view, share=0.5))(jax.random.key(0), images)
    every = np.stack(jax.jit(lambda images: [view(images) for view in views(5, 5)])(images))
    np.testing.assert_array_equal(shown, every[np.asarray(h.argmax(-1)), np.arange(300)])
    assert 0.4 < (h[:, 0] == 1).mean() < 0.6
    assert (h.sum(0) > 0).all()
    _, h = random_view(jax.random.key(0), images, 0.5, (3, 15))
    assert np.flatnonzero(h.sum(0)).tolist() == [0, 3, 15]


def test_rotations_are_the_symmetries_of_a_square():
    image, count = jnp.arange(9).reshape(1, 3, 3, 1), len(symmetries(3, 3))
    rotated = np.asarray(rotate(jnp.tile(image, (count, 1, 1, 1)), jnp.arange(count)))[..., 0]
    np.testing.assert_array_equal(rotated[0], image[0, ..., 0])
    assert {x.tobytes() for x in rotated} == {
        np.ascontiguousarray(np.rot90(x, k)).tobytes() for x in (rotated[0], rotated[0].T) for k in range(4)
    }
