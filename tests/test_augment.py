"""Views of images given as h: which they are, and the model of one view made a model without h."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from proofs import random_images, randomised

from pixelcnn_jax import GatedPixelCNN
from pixelcnn_jax.data.views import as_they_are, fold, show, turn, views

pytestmark = pytest.mark.usefixtures("strict_dtypes")


@pytest.mark.parametrize(("height", "width", "count"), [(4, 4, 16), (3, 5, 12)])
def test_views_are_all_different_and_the_first_is_none(height, width, count):
    image = jnp.arange(1, height * width + 1).reshape(1, height, width, 1)
    shown = [np.asarray(view(image)) for view in views(height, width)]
    assert len(shown) == count == as_they_are(1, height, width).shape[1]
    assert len({view.tobytes() for view in shown}) == count
    np.testing.assert_array_equal(shown[0], image)
    assert all(view.shape == image.shape for view in shown)


def test_h_tells_the_view():
    images = random_images(GatedPixelCNN(levels=200), (300, 5, 5))
    shown, h = show(jax.random.key(0), images, 0.5)
    ways = views(5, 5)
    for image, told, result in zip(images, h.argmax(-1), shown, strict=True):
        np.testing.assert_array_equal(ways[told](image[None])[0], result)
    assert 0.4 < (h[:, 0] == 1).mean() < 0.6
    assert (h.sum(0) > 0).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_folded_model_is_the_model_of_that_h(channels):
    model = GatedPixelCNN(levels=5, channels=channels, features=12, layers=2)
    images, h = random_images(model, (2, 5, 4)), jax.random.normal(jax.random.key(3), (1, 6))
    variables = randomised(model.init(jax.random.key(1), images, jnp.tile(h, (2, 1))))
    plain = model.apply({"params": fold(variables["params"], h[0])}, images)
    np.testing.assert_allclose(plain, model.apply(variables, images, jnp.tile(h, (2, 1))), atol=2e-4)
    shapes = jax.tree.map(jnp.shape, model.init(jax.random.key(1), images)["params"])
    assert jax.tree.map(jnp.shape, fold(variables["params"], h[0])) == shapes


def test_turning_is_the_eight_ways_of_a_square():
    image = jnp.arange(9).reshape(1, 3, 3, 1)
    turned = np.asarray(turn(jnp.tile(image, (8, 1, 1, 1)), jnp.arange(8)))[..., 0]
    np.testing.assert_array_equal(turned[0], image[0, ..., 0])
    assert {x.tobytes() for x in turned} == {
        np.ascontiguousarray(np.rot90(x, k)).tobytes() for x in (turned[0], turned[0].T) for k in range(4)
    }
