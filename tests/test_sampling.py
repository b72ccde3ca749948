"""Samplers follow the model, and draw from noise that depends on the key and the row alone."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from networks import NETWORKS, build, build_model
from proofs import assert_faithful, random_condition, random_images, randomised
from scipy import stats

from pixelcnn_jax import DiagonalBiLSTM, GatedPixelCNN, log_prob, naive_sample, sample, sample_and_log_prob
from pixelcnn_jax.distributions import gumbel_max, gumbel_noise
from pixelcnn_jax.foundation.devices import AXIS, data_mesh
from pixelcnn_jax.models.conditioning.conditional_model import ConditionalModel
from pixelcnn_jax.models.conditioning.encoders import Deconvolution
from pixelcnn_jax.models.inputs import Condition
from pixelcnn_jax.models.temperature_and_guidance import make_adjustment

pytestmark = pytest.mark.usefixtures("strict_dtypes")


@pytest.mark.parametrize(
    ("network", "levels", "channels", "shape", "h"),
    [
        (GatedPixelCNN, 2, 1, (2, 3), 0),
        (GatedPixelCNN, 2, 3, (1, 2), 0),
        *((network, 3, 1, (2, 2), 2) for network in NETWORKS),
    ],
)
def test_samples_follow_the_model(network, levels, channels, shape, h):
    model = network(levels=levels, channels=channels, features=8, layers=1)
    assert_faithful(*build_model(model, shape, h, scale=0.5))


@pytest.mark.parametrize("implementation", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_an_image_depends_on_its_own_key_alone(implementation):
    model, variables, shape, _ = build(GatedPixelCNN, "grey")
    keys = jax.random.split(jax.random.key(4, impl=implementation), 2)[np.array([0, 0, 1])]
    images = sample(model, variables, keys, shape=(3, *shape))
    np.testing.assert_array_equal(images[0], images[1])
    assert (images[0] != images[2]).any()
    mapped = jax.vmap(lambda key: sample(model, variables, key[None], shape=(1, *shape))[0])(keys)
    np.testing.assert_array_equal(mapped, images)


def test_the_lowest_temperature_leaves_the_likeliest_level():
    logits = make_adjustment(1e-30, 0.0).logits(jnp.array([[3e10, 5e10, -1e30]]))
    np.testing.assert_array_equal(jax.nn.softmax(logits), [[0, 1, 0]])


def test_rows_are_reported_and_change_nothing():
    model, variables, shape, _ = build(GatedPixelCNN, "colour")
    rows, options = [], dict(shape=(2, *shape))
    plain = sample(model, variables, jax.random.key(4), **options)
    np.testing.assert_array_equal(sample(model, variables, jax.random.key(4), on_row=rows.append, **options), plain)
    assert rows == list(range(shape[0]))


@pytest.mark.parametrize("levels", [2, 3, 7, 16, 50])
def test_a_draw_follows_the_softmax(levels):
    logits = 2 * jax.random.normal(jax.random.key(0), (1, levels))
    gumbel = gumbel_noise(jax.random.split(jax.random.key(1), 1), 0, width=1, channels=40_000, levels=levels)[0, 0]
    counts = np.bincount(gumbel_max(jnp.tile(logits, (len(gumbel), 1)), gumbel), minlength=levels)
    expected = np.float64(jax.nn.softmax(logits[0]))
    assert stats.chisquare(counts, len(gumbel) * expected / expected.sum()).pvalue > 1e-3


def test_an_image_does_not_depend_on_its_batch():
    model, variables, shape, _ = build(GatedPixelCNN, "colour")
    few, many = (sample(model, variables, jax.random.key(4), shape=(n, *shape)) for n in (2, 5))
    np.testing.assert_array_equal(few, many[:2])


class Adjusted(nn.Module):
    """((1 + w) conditional - w unconditional logits) / temperature, in one parallel pass: itself a model."""

    inner: GatedPixelCNN
    w: float
    temperature: float
    levels: int = 3
    channels: int = 1

    @nn.compact
    def __call__(self, images, h):
        logits = (1 + self.w) * self.inner(images, h) - self.w * self.inner(images, jnp.zeros_like(h))
        return logits / self.temperature


@pytest.mark.parametrize("sampler", [sample, naive_sample])
@pytest.mark.parametrize(("w", "temperature"), [(0.0, 0.5), (1.5, 1.0), (0.7, 1.3)])
def test_temperature_and_guidance_draw_from_the_adjusted_conditionals(sampler, w, temperature):
    """The adjusted model is enumerated: its probabilities sum to one, draws follow them, and share its noise."""
    model, h = GatedPixelCNN(levels=3, features=8, layers=2), np.array([[1.0, 0.0]], np.float32)
    variables = randomised(model.init(jax.random.key(0), random_images(model, (1, 2, 2)), h), scale=0.5)
    adjusted, inner = Adjusted(model, w, temperature), {"params": {"inner": variables["params"]}}
    draws = partial(sampler, temperature=temperature, guidance=w)
    assert_faithful(
        adjusted,
        inner,
        (2, 2),
        Condition(h),
        sampler=lambda _, __, *rest, **more: draws(model, variables, *rest, **more),
    )
    few = dict(shape=(40, 2, 2), h=h.repeat(40, axis=0))
    expected = naive_sample(adjusted, inner, jax.random.key(3), **few)
    np.testing.assert_array_equal(draws(model, variables, jax.random.key(3), **few), expected)
    assert (naive_sample(model, variables, jax.random.key(3), **few) != expected).any()


@pytest.mark.parametrize("network", NETWORKS)
def test_images_and_likelihoods_inside_a_shard_map_are_those_outside(network):
    model, variables, shape, _ = build(network, "grey")

    def of_each(keys):
        images, log_probs = sample_and_log_prob(model, variables, keys, shape=(len(keys), *shape))
        return images, log_probs, log_prob(model, variables, images)

    mapped = jax.shard_map(of_each, mesh=data_mesh(), in_specs=PartitionSpec(AXIS), out_specs=PartitionSpec(AXIS))
    keys = jax.random.split(jax.random.key(5), 8)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5), jax.jit(mapped)(keys), of_each(keys))


def test_guidance_of_a_conditional_map_and_of_colours_and_many_devices():
    model = ConditionalModel(GatedPixelCNN(levels=3, channels=3, features=12, layers=1), Deconvolution((4, 4, 5)))
    h = jnp.eye(2)[jnp.arange(8) % 2]
    variables = randomised(model.init(jax.random.key(0), random_images(model.network, (8, 4, 4)), h))
    options = dict(shape=(8, 4, 4), h=h, guidance=2.0, temperature=0.8)
    keys = jax.random.split(jax.random.key(1), 8)
    images = sample(model, variables, keys, **options)
    np.testing.assert_array_equal(images, naive_sample(model, variables, keys, **options))
    sharded = jax.device_put(keys, NamedSharding(data_mesh(), PartitionSpec(AXIS)))
    np.testing.assert_array_equal(images, sample(model, variables, sharded, **options))


@pytest.mark.parametrize("network", [GatedPixelCNN, DiagonalBiLSTM])  # cached and naive
@pytest.mark.parametrize(("temperature", "guidance", "rows"), [(1.0, 0.0, 0), (0.7, 0.5, 0), (0.7, 0.5, 1)])
def test_the_log_probability_is_that_of_the_draw(network, temperature, guidance, rows):
    model, shape = network(levels=3, channels=2, features=8, layers=1, first_kernel_size=3), (4, 2, 2)
    h, given = random_condition(shape, 2)[0], random_images(model, shape)
    variables = randomised(model.init(jax.random.key(1), given, h), scale=0.5)
    mask = (np.arange(2) < rows)[None, :, None, None]
    options = dict(shape=shape, h=h, temperature=temperature, guidance=guidance)
    options |= dict(observed=given, mask=mask) if rows else {}
    images, actual = sample_and_log_prob(model, variables, jax.random.key(3), **options)
    np.testing.assert_array_equal(images, sample(model, variables, jax.random.key(3), **options))
    np.testing.assert_array_equal(np.where(mask, given, images), images)
    logits, nothing = (np.asarray(model.apply(variables, images, x), np.float64) for x in (h, jnp.zeros_like(h)))
    logits = (logits + guidance * (logits - nothing)) / temperature
    each = np.take_along_axis(logits, np.asarray(images)[..., None], axis=-1)[..., 0]
    each -= np.log(np.exp(logits).sum(axis=-1))
    np.testing.assert_allclose(actual, np.where(mask, 0, each).sum(axis=(1, 2, 3)), rtol=1e-4)
    if temperature == 1 and not rows:
        np.testing.assert_allclose(actual, log_prob(model, variables, images, h=h), rtol=1e-5)
