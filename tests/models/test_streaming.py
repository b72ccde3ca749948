"""Cached sampling equals naive sampling from the same noise, sub-pixel for sub-pixel, for every network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec
from networks import build_model
from proofs import assert_same, random_condition, random_images

from pixelcnn_jax import DiagonalBiLSTM, GatedPixelCNN, InputError, PixelCNN, RowLSTM, sample
from pixelcnn_jax.foundation.devices import AXIS, data_mesh
from pixelcnn_jax.models.conditionals import init_cache, next_conditional
from pixelcnn_jax.models.streaming import stream_of

pytestmark = pytest.mark.usefixtures("strict_dtypes")

# name: (attributes, batch, height and width, size of h, size of s)
VARIANTS = {
    "grey": (dict(levels=5, features=8, layers=3), (2, 6, 5), 0, 0),
    "colour": (dict(levels=3, channels=3, features=25, layers=2, head_features=31), (2, 4, 5), 0, 0),
    "wide kernels": (dict(levels=2, features=8, layers=2, kernel_size=5, first_kernel_size=3), (1, 5, 9), 0, 0),
    "five channels": (dict(levels=2, channels=5, features=13, layers=1, first_kernel_size=9), (2, 3, 2), 0, 0),
    "h and s": (dict(levels=4, channels=3, features=12, layers=2), (3, 4, 3), 5, 2),
    "codes": (dict(levels=512, channels=2, features=8, layers=2, code_features=6), (2, 3, 4), 3, 0),
    "mixture": (dict(levels=5, channels=3, features=8, layers=1, mixture=3, head_features=24), (2, 4, 3), 0, 0),
    "one pixel": (dict(levels=3, channels=2, features=8, layers=1), (4, 1, 1), 0, 0),
}
each_stream = pytest.mark.parametrize("network", [GatedPixelCNN, PixelCNN, RowLSTM])


def build(network, name, **options):
    attributes, (batch, *size), h, s = VARIANTS[name]
    model, variables, _, condition = build_model(network(**attributes, **options), size, h, s, batch=batch)
    return model, variables, (batch, *size), condition


@each_stream
@pytest.mark.parametrize("name", VARIANTS)
def test_cached_equals_naive(network, name):
    built = build(network, name)
    assert stream_of(built[0]) is not None
    images = assert_same(*built)
    assert len(np.unique(images)) > 1  # two black images would be equal too


def test_a_linear_prediction_is_cached():
    model, *rest = build(GatedPixelCNN, "mixture", linear_prediction=True)
    assert_same(model, *rest)
    assert stream_of(model.clone(dtype=jnp.bfloat16)).model == model


def test_a_diagonal_bilstm_is_run_again():
    built = build(DiagonalBiLSTM, "h and s")
    assert stream_of(built[0]) is None
    assert_same(*built)
    with pytest.raises(InputError, match=r"^model must have a stream"):
        init_cache(*built[:2], shape=built[2], **built[3]._asdict())


@each_stream
def test_conditionals_from_the_cache_are_those_of_the_whole_network(network):
    model, variables, shape, condition = build(network, "h and s")
    images = random_images(model, shape, key=4)
    expected = jax.nn.log_softmax(model.apply(variables, images, *condition)).reshape(len(images), -1, model.levels)
    cache, actual = init_cache(model, variables, shape=shape, **condition._asdict()), []
    for values in jnp.roll(images.reshape(len(images), -1), 1, axis=1).T:
        log_probs, cache = next_conditional(cache, values)
        actual.append(log_probs)
    np.testing.assert_allclose(np.stack(actual, axis=1), expected, rtol=1e-4, atol=1e-5)


@each_stream
def test_a_subclass_is_sampled_without_a_cache_until_it_says_that_the_stream_is_its_own(network):
    class Changed(network):
        def forward(self, *args, **options):
            return -super().forward(*args, **options)

    class Mixed(Changed, network):
        pass

    class Kept(network):
        layers: int = 2
        stream = network.stream

    actual = [stream_of(one(levels=3)) for one in (network, Changed, Mixed, Kept)]
    assert actual[1:3] == [None, None]
    assert type(actual[0]) is type(actual[3])
    assert actual[3].model.layers == 2


@each_stream
@pytest.mark.parametrize("name", ["grey", "h and s"])
def test_completions_equal_and_keep_what_is_given(network, name):
    model, variables, shape, condition = build(network, name)
    given = random_images(model, shape, key=9)
    mask = jax.random.bernoulli(jax.random.key(2), 0.4, given.shape)
    completed = assert_same(model, variables, shape, condition, observed=given, mask=mask)
    assert (completed == given)[mask].all()
    assert (completed != given)[~mask].any()


@each_stream
def test_devices_share_the_images(network):
    """Keys sharded over devices give the same images, and each device draws its own."""
    model, variables, (_, height, width), _ = build(network, "h and s")
    batch = len(jax.local_devices())
    h, s = random_condition((batch, height, width), *VARIANTS["h and s"][2:])
    keys = jax.random.split(jax.random.key(4), batch)
    sharded = jax.device_put(keys, NamedSharding(data_mesh(), PartitionSpec(AXIS)))
    given = random_images(model, (batch, height, width))
    mask = (np.arange(height) < 1)[None, :, None, None]
    for arguments in (dict(h=h, s=s), dict(h=h, s=s, observed=given, mask=mask)):
        alone, shared = (
            sample(model, variables, k, shape=(batch, height, width), **arguments) for k in (keys, sharded)
        )
        np.testing.assert_array_equal(alone, shared)
        assert len(shared.sharding.device_set) == batch
        assert shared.addressable_shards[0].data.shape[0] == 1
