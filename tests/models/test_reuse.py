"""Networks in other projects: inside other Linen modules, and through Flax's bridge to NNX."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from proofs import random_images, randomised

from pixelcnn_jax import GatedPixelCNN, InputError, log_prob, nll, sample
from pixelcnn_jax.distributions import log_probs_of
from pixelcnn_jax.models.inputs import Condition

SMALL = dict(levels=2, features=8, layers=1)


def mean_log_prob(logits, images):
    return log_probs_of(logits, images).sum(axis=(1, 2, 3)).mean()


class Autoencoder(nn.Module):
    """An encoder, with a Gated PixelCNN as its decoder."""

    @nn.compact
    def __call__(self, images):
        h = nn.Dense(3)(images.reshape(len(images), -1).astype(jnp.float32))
        return GatedPixelCNN(**SMALL, name="decoder")(images, h)


class ByLabel(nn.Module):
    """A module of a user around a network, which embeds labels itself."""

    network: GatedPixelCNN
    levels: int = 2
    channels: int = 1

    @nn.compact
    def __call__(self, images, h):
        return self.network(images, nn.Embed(4, 3)(h))


def test_a_module_with_a_network_in_it_gets_labels_as_integers():
    model, labels = ByLabel(GatedPixelCNN(**SMALL)), np.array([3, 0])
    images = random_images(model, (2, 4, 4))
    variables = model.init(jax.random.key(0), images, labels)
    found = -nll(model, variables, images, h=labels)
    np.testing.assert_allclose(found.mean(), mean_log_prob(model.apply(variables, images, labels), images), rtol=1e-6)
    with pytest.raises(InputError, match="guidance must be 0: this model reads integers"):
        sample(model, variables, jax.random.key(0), shape=(2, 4, 4), h=labels, guidance=1.0)


def test_a_decoder_inside_another_module_is_trained_with_it_and_sampled_alone():
    model, decoder = Autoencoder(), GatedPixelCNN(**SMALL)
    images = random_images(decoder, (8, 4, 4))
    variables = model.init(jax.random.key(0), images)
    gradient = jax.grad(lambda variables: mean_log_prob(model.apply(variables, images), images))(variables)
    assert jnp.abs(gradient["params"]["Dense_0"]["kernel"]).max() > 0  # through the decoder into the encoder
    params = {"params": variables["params"]["decoder"]}
    h = jnp.ones((8, 3))
    assert sample(decoder, params, jax.random.key(0), shape=(8, 4, 4), h=h).shape == (8, 4, 4, 1)
    bound = decoder.bind(params)
    np.testing.assert_array_equal(log_prob(bound, params, images, h=h), log_prob(decoder, params, images, h=h))
    with pytest.raises(InputError, match=r"^h must be given as floats of shape \[8, 3\]"):
        bound(images)


@pytest.mark.parametrize("lift", [nn.remat, nn.jit])
def test_a_network_that_is_lifted_with_its_methods_has_the_likelihood_of_its_class(lift):
    """Logits of a mixture end at -87, but the scores do not."""
    options, images = dict(levels=256, features=4, layers=1, mixture=2), np.full((1, 4, 4), 255)
    model = GatedPixelCNN(**options)
    variables = randomised(model.init(jax.random.key(0), images), scale=3)
    expected = log_prob(model, variables, images)
    assert expected < -100 * images.size
    lifted = lift(GatedPixelCNN, methods=["__call__", "log_probs", "parameters"])(**options)
    np.testing.assert_allclose(log_prob(lifted, variables, images), expected, rtol=1e-6)
    each = model.apply(variables, images, Condition(), method="log_probs")
    np.testing.assert_allclose(each.sum(axis=(1, 2, 3)), expected, rtol=1e-6)


def test_through_the_bridge_to_nnx():
    model = GatedPixelCNN(levels=3, channels=3, features=12, layers=2)
    images = random_images(model, (2, 4, 3))
    bridged = nnx.bridge.ToNNX(model, rngs=nnx.Rngs(0)).lazy_init(images)
    params = nnx.to_pure_dict(nnx.state(bridged, nnx.Param))
    np.testing.assert_allclose(bridged(images), model.apply({"params": params}, images), rtol=1e-6)
    before = -mean_log_prob(bridged(images), images)
    loss, gradient = nnx.value_and_grad(lambda m: -mean_log_prob(m(images), images))(bridged)
    np.testing.assert_allclose(loss, before, rtol=1e-6)
    nnx.update(bridged, jax.tree.map(lambda p, g: p - 1e-2 * g, nnx.state(bridged, nnx.Param), gradient))
    assert -mean_log_prob(bridged(images), images) < before
