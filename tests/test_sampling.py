"""Samplers follow the model, and draw from noise that depends on the key and the row alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from proofs import assert_faithful, random_condition, random_images, randomised
from scipy import stats

from pixelcnn_jax import GatedPixelCNN, InputError, naive_sample, sample
from pixelcnn_jax.distributions import draw, noise

pytestmark = pytest.mark.usefixtures("strict_dtypes")

# name: (model, batch, height and width, size of h, size of s)
VARIANTS = {
    "grey": (GatedPixelCNN(levels=5, features=8, layers=3), (2, 6, 5), 0, 0),
    "colour": (GatedPixelCNN(levels=3, channels=3, features=25, layers=2, head_features=31), (2, 4, 5), 0, 0),
}


def build(name):
    model, shape, h, s = VARIANTS[name]
    condition = random_condition(shape, h, s)
    variables = model.init(jax.random.key(1), random_images(model, shape), condition.h, condition.s)
    return model, randomised(variables), shape, condition


def test_a_mask_of_rows_broadcasts():
    model, variables, shape, _ = build("grey")
    given, upper = random_images(model, shape, key=9), jnp.arange(6) < 3
    completed = sample(model, variables, jax.random.key(0), shape=shape, given=given, mask=upper[None, :, None, None])
    np.testing.assert_array_equal(completed[:, :3], given[:, :3])


@pytest.mark.parametrize("sampler", [sample, naive_sample])
@pytest.mark.parametrize(
    ("levels", "channels", "shape", "h"), [(2, 1, (2, 3), 0), (3, 1, (2, 2), 2), (2, 3, (1, 2), 0)]
)
def test_faithful(sampler, levels, channels, shape, h):
    model = GatedPixelCNN(levels=levels, channels=channels, features=8, layers=2)
    condition = random_condition((1, *shape), h)
    variables = randomised(model.init(jax.random.key(0), random_images(model, (1, *shape)), condition.h), scale=0.5)
    assert_faithful(model, variables, shape, condition, sampler=sampler)


def test_images_that_share_a_key_share_their_noise():
    model, variables, shape, _ = build("grey")
    keys = jnp.stack([jax.random.key(4)] * 2 + [jax.random.key(5)])
    images = sample(model, variables, keys, shape=(3, *shape[1:]))
    np.testing.assert_array_equal(images[0], images[1])
    assert (images[0] != images[2]).any()


def test_rows_are_reported_and_change_nothing():
    model, variables, shape, _ = build("colour")
    rows = []
    reported, plain = (
        sample(model, variables, jax.random.key(4), shape=shape, on_row=report) for report in (rows.append, None)
    )
    assert rows == list(range(shape[1]))
    np.testing.assert_array_equal(reported, plain)


@pytest.mark.parametrize("levels", [2, 3, 7, 16, 50])
def test_a_draw_follows_the_softmax(levels):
    logits = 2 * jax.random.normal(jax.random.key(0), (1, levels))
    gumbel = noise(jax.random.split(jax.random.key(1), 1), 0, width=1, channels=40_000, levels=levels)[0, 0]
    counts = np.bincount(draw(jnp.tile(logits, (len(gumbel), 1)), gumbel), minlength=levels)
    expected = np.float64(jax.nn.softmax(logits[0]))
    assert stats.chisquare(counts, len(gumbel) * expected / expected.sum()).pvalue > 1e-3


def test_an_image_does_not_depend_on_its_batch():
    model, variables, shape, _ = build("colour")
    few, many = (sample(model, variables, jax.random.key(4), shape=(n, *shape[1:])) for n in (2, 5))
    np.testing.assert_array_equal(few, many[:2])


GIVEN, KEPT = np.zeros((2, 6, 5, 1), np.int32), np.ones((1, 1, 1, 1), bool)


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        (dict(shape=(2, 0, 3)), "shape"),
        (dict(shape=(2, 3)), "shape"),
        (dict(h=np.zeros((2, 1), np.float32)), "h"),
        (dict(given=GIVEN), "given and mask"),
        (dict(mask=KEPT), "given and mask"),
        (dict(given=np.zeros((2, 5, 6, 1), np.int32), mask=KEPT), "given"),
        (dict(given=GIVEN, mask=np.ones((3, 1, 1, 1), bool)), "mask"),
        (dict(given=GIVEN.astype(float), mask=KEPT), "given"),
        (dict(given=GIVEN + 5, mask=KEPT), "images"),
        (dict(given=np.full((2, 6, 5, 1), 2**32), mask=KEPT), "images"),
        (dict(key=jax.random.split(jax.random.key(0), 3)), "key"),
        (dict(key=jax.random.PRNGKey(0)), "key"),
    ],
)
def test_refused_arguments(arguments, field):
    model, variables, _, _ = build("grey")
    with pytest.raises(InputError, match=f"^{field} must"):
        sample(model, variables, **(dict(shape=(2, 6, 5), key=jax.random.key(0)) | arguments))
