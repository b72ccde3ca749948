"""The bounds of a variational auto-encoder, and what training adds to them."""

import jax
import jax.numpy as jnp
import numpy as np
from tiny import tiny_experiment

from experiments.extensions.vae import Posterior, bounds
from pixelcnn_jax.data.dataset import take_images


def test_free_bits_count_in_full():
    losses = []
    for free_nats in (100.0, 200.0):
        changes = {"settings.free_nats": free_nats, "model.dropout": 0.0}
        experiment, params, splits = tiny_experiment("vae", changes)
        batch = {"image": jnp.asarray(take_images(splits.test, 2))}
        losses.append(jax.jit(experiment.loss)(params, batch, jax.random.key(1)))
    np.testing.assert_allclose(losses[1] - losses[0], 6 * 100, rtol=1e-3)  # 6 latent dimensions


def test_the_bound_reaches_an_integral_that_is_known():
    """The likelihood given z is exp(-z^2 / 2), so that its mean under the prior has a closed form."""
    q = Posterior(jnp.full((2, 1), 0.7), jnp.full((2, 1), -0.2))
    images = jnp.arange(2).reshape(2, 1, 1, 1)
    figures = bounds(q, lambda z: 0.5 * jnp.sum(z**2, axis=1), images, key=jax.random.key(0), count=100_000)
    variance = np.exp(-0.4)
    np.testing.assert_allclose(figures["importance_weighted_bound_nats"], 0.5 * np.log(2), atol=5e-3)
    np.testing.assert_allclose(figures["decoder_nats_given_the_code"], 0.5 * (0.7**2 + variance), atol=1e-2)
    np.testing.assert_allclose(figures["kl_nats"], 0.5 * (0.7**2 + variance - 1) + 0.2, rtol=1e-5)
