"""The bounds of a variational auto-encoder, and what training adds to them."""

import jax
import jax.numpy as jnp
import numpy as np
from tiny import tiny_experiment

from experiments.shared.posterior import Posterior, bounds
from pixelcnn_jax.data.dataset import take_images
from pixelcnn_jax.training.experiment import Training


def test_the_weight_of_the_kl_rises_and_free_bits_count_in_full():
    changes = {"settings.kl_warmup": 10, "settings.free_nats": 100.0, "model.dropout": 0.0}
    experiment, params, splits = tiny_experiment("vae", changes)
    batch = {"image": jnp.asarray(take_images(splits.test, 2))}
    loss = jax.jit(lambda step: experiment.loss(params, batch, Training(jax.random.key(1), step)))
    first, last, later = (np.asarray(loss(jnp.int32(step))) for step in (0, 9, 99))
    np.testing.assert_allclose(last - first, 0.9 * 6 * 100, rtol=1e-3)  # 6 latent dimensions
    np.testing.assert_array_equal(later, last)


def test_the_mixture_and_the_bound_reach_integrals_that_are_known():
    """The likelihood given z is exp(-z^2 / 2), so that means under q and the prior have a closed form."""
    q = Posterior(jnp.full((2, 1), 0.7), jnp.full((2, 1), -0.2))
    images = jnp.arange(2).reshape(2, 1, 1, 1)
    figures = bounds(q, lambda z: 0.5 * jnp.sum(z**2, axis=1), images, key=jax.random.key(0), count=100_000)
    variance = np.exp(-0.4)
    under_q = 0.5 * (np.log(1 + variance) + 0.7**2 / (1 + variance))
    np.testing.assert_allclose(figures["importance_weighted"], 0.5 * np.log(2), atol=5e-3)
    np.testing.assert_allclose(figures["mixture"], under_q, atol=5e-3)
    np.testing.assert_allclose(figures["given_code"], 0.5 * (0.7**2 + variance), atol=1e-2)
    np.testing.assert_allclose(figures["kl"], 0.5 * (0.7**2 + variance - 1) + 0.2, rtol=1e-5)
