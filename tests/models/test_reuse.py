"""Networks in other projects: inside other Linen modules, and through Flax's bridge to NNX."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from proofs import random_images

from pixelcnn_jax import GatedPixelCNN, sample
from pixelcnn_jax.distributions import log_probs_of


def mean_log_prob(logits, images):
    return log_probs_of(logits, images).sum(axis=(1, 2, 3)).mean()


class Autoencoder(nn.Module):
    """An encoder, with a Gated PixelCNN as its decoder."""

    @nn.compact
    def __call__(self, images):
        h = nn.Dense(3)(images.reshape(len(images), -1).astype(jnp.float32))
        return GatedPixelCNN(levels=2, features=8, layers=1, name="decoder")(images, h)


def test_trained_end_to_end_inside_another_module():
    images = random_images(GatedPixelCNN(levels=2), (8, 4, 4))
    model = Autoencoder()
    variables = model.init(jax.random.key(0), images)
    optimizer = optax.adam(1e-2)

    @jax.jit
    def step(variables, state):
        loss, gradient = jax.value_and_grad(lambda v: -mean_log_prob(model.apply(v, images), images))(variables)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(variables, updates), state, loss, gradient

    state, losses = optimizer.init(variables), []
    for _ in range(60):
        variables, state, loss, gradient = step(variables, state)
        losses.append(float(loss))
    assert losses[-1] < 0.7 * losses[0]
    assert jnp.abs(gradient["params"]["Dense_0"]["kernel"]).max() > 0  # through the decoder into the encoder
    decoder = GatedPixelCNN(levels=2, features=8, layers=1)
    drawn = sample(
        decoder, {"params": variables["params"]["decoder"]}, jax.random.key(0), shape=(2, 4, 4), h=jnp.ones((2, 3))
    )
    assert drawn.shape == (2, 4, 4, 1)


def test_through_the_bridge_to_nnx():
    model = GatedPixelCNN(levels=3, channels=3, features=12, layers=2)
    images = random_images(model, (2, 4, 3))
    bridged = nnx.bridge.ToNNX(model, rngs=nnx.Rngs(0)).lazy_init(images)
    params = nnx.to_pure_dict(nnx.state(bridged, nnx.Param))
    np.testing.assert_allclose(bridged(images), model.apply({"params": params}, images), rtol=1e-6)
    before = -mean_log_prob(bridged(images), images)
    loss, gradient = nnx.value_and_grad(lambda m: -mean_log_prob(m(images), images))(bridged)
    np.testing.assert_allclose(loss, before, rtol=1e-6)
    moved = jax.tree.map(lambda p, g: p - 1e-2 * g, nnx.state(bridged, nnx.Param), gradient)
    nnx.update(bridged, moved)
    assert -mean_log_prob(bridged(images), images) < before
