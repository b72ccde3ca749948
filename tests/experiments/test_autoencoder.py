"""The two pairs of networks of an auto-encoder."""

import jax
import jax.numpy as jnp
import numpy as np
from tiny import tiny_experiment

from pixelcnn_jax.data.dataset import take_images


def test_the_pairs_learn_apart():
    """The squared error moves its own pair and leaves the gradient of the likelihood as it is."""
    experiment, params, splits = tiny_experiment("autoencoder", {"model.dropout": 0.0})
    batch = {"image": jnp.asarray(take_images(splits.test, 4))}
    step = jax.random.key(1)

    def gradient(key):
        return jax.jit(jax.grad(lambda params: jnp.sum(experiment.loss(params, batch, key))))(params)

    training, evaluation = gradient(step), gradient(None)
    np.testing.assert_allclose(experiment.loss(params, batch, step), experiment.loss(params, batch, None), rtol=1e-6)
    for name in ("decoder", "encoder"):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), training[name], evaluation[name]
        )
    for name in ("mse_decoder", "mse_encoder"):
        assert any(np.any(x) for x in jax.tree.leaves(training[name]))
        assert not any(np.any(x) for x in jax.tree.leaves(evaluation[name]))
