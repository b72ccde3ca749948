"""Samplers: cached equals naive, both follow the model, completions keep what is given."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from proofs import assert_faithful, assert_same, random_condition, random_images, randomised
from scipy import stats

from pixelcnn_jax import GatedPixelCNN, InputError, naive_sample, sample
from pixelcnn_jax.devices import spread
from pixelcnn_jax.sampling import draw, noise

pytestmark = pytest.mark.usefixtures("strict_dtypes")

# name: (model, batch, height and width, size of h, size of s)
VARIANTS = {
    "grey": (GatedPixelCNN(levels=5, features=8, layers=3), (2, 6, 5), 0, 0),
    "colour": (GatedPixelCNN(levels=3, channels=3, features=25, layers=2, head_features=31), (2, 4, 5), 0, 0),
    "wide kernels": (
        GatedPixelCNN(levels=2, features=8, layers=2, kernel_size=5, first_kernel_size=3),
        (1, 5, 9),
        0,
        0,
    ),
    "five channels": (GatedPixelCNN(levels=2, channels=5, features=13, layers=1, first_kernel_size=9), (2, 3, 2), 0, 0),
    "h and s": (GatedPixelCNN(levels=4, channels=3, features=12, layers=2), (3, 4, 3), 5, 2),
    "codes": (GatedPixelCNN(levels=512, channels=2, features=8, layers=2, code_features=6), (2, 3, 4), 3, 0),
    "one pixel": (GatedPixelCNN(levels=3, channels=2, features=8, layers=1), (4, 1, 1), 0, 0),
}


def build(name):
    model, shape, h, s = VARIANTS[name]
    condition = random_condition(shape, h, s)
    variables = model.init(jax.random.key(1), random_images(model, shape), condition.h, condition.s)
    return model, randomised(variables), shape, condition


@pytest.mark.parametrize("name", VARIANTS)
def test_cached_equals_naive(name):
    images = assert_same(*build(name))
    assert len(np.unique(images)) > 1  # two black images would be equal too


@pytest.mark.parametrize("name", ["grey", "h and s"])
def test_completions_are_the_same_and_keep_what_is_given(name):
    model, variables, shape, condition = build(name)
    given = random_images(model, shape, key=9)
    mask = jax.random.bernoulli(jax.random.key(2), 0.4, given.shape)
    completed = assert_same(model, variables, shape, condition, given=given, mask=mask)
    assert (completed == given)[mask].all()
    assert (completed != given)[~mask].any()


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
        sample(model, variables, jax.random.key(4), shape=shape, on_row=told) for told in (rows.append, None)
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


@pytest.mark.parametrize("name", ["grey", "h and s"])
def test_devices_share_the_images(name):
    """Keys that are split over devices give the same images, each device having drawn its own."""
    model, variables, (_, height, width), _ = build(name)
    batch = len(jax.local_devices())
    h, s = random_condition((batch, height, width), *VARIANTS[name][2:])
    keys = jax.random.split(jax.random.key(4), batch)
    given = random_images(model, (batch, height, width))
    mask = (np.arange(height) < 1)[None, :, None, None]
    for arguments in (dict(h=h, s=s), dict(h=h, s=s, given=given, mask=mask)):
        alone, shared = (
            sample(model, variables, k, shape=(batch, height, width), **arguments) for k in (keys, spread(keys))
        )
        np.testing.assert_array_equal(alone, shared)
        assert len(shared.sharding.device_set) == batch
        assert shared.addressable_shards[0].data.shape[0] == 1


def test_bfloat16_samples_are_levels():
    model = GatedPixelCNN(levels=7, channels=3, features=12, layers=2, dtype=jnp.bfloat16)
    variables = model.init(jax.random.key(0), random_images(model, (1, 4, 4)))
    images = sample(model, variables, jax.random.key(0), shape=(4, 4, 4))
    assert images.dtype == jnp.int32
    assert 0 <= images.min() < images.max() <= 6


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (dict(shape=(2, 0, 3)), "each at least 1"),
        (dict(shape=(2, 3)), r"\(batch, height, width\)"),
        (dict(shape=(2, 6, 5), h=np.zeros((2, 1), np.float32)), "h was given"),
        (dict(shape=(2, 6, 5), given=np.zeros((2, 6, 5, 1), np.int32)), "given and mask come together"),
        (dict(shape=(2, 6, 5), given=np.zeros((2, 5, 6, 1), np.int32), mask=np.ones((1, 1, 1, 1), bool)), "given must"),
        (dict(shape=(2, 6, 5), given=np.zeros((2, 6, 5, 1), np.int32), mask=np.ones((3, 1, 1, 1), bool)), "broadcast"),
        (
            dict(shape=(2, 6, 5), given=np.zeros((2, 6, 5, 1)), mask=np.ones((1, 1, 1, 1), bool)),
            "given must be integers",
        ),
        (dict(shape=(2, 6, 5), given=np.full((2, 6, 5, 1), 5), mask=np.ones((1, 1, 1, 1), bool)), "from 5 to 5"),
        (dict(shape=(2, 6, 5), given=np.full((2, 6, 5, 1), 2**32), mask=np.ones((1, 1, 1, 1), bool)), "from 42949"),
        (dict(shape=(3, 6, 5), key=jax.random.split(jax.random.key(0), 2)), "one for each of the 3 images"),
    ],
)
def test_what_a_sampler_cannot_do_is_refused(arguments, told):
    model, variables, _, _ = build("grey")
    with pytest.raises(InputError, match=told):
        sample(model, variables, arguments.pop("key", jax.random.key(0)), **arguments)
