"""The two pairs of networks of an auto-encoder, and the image whose code is the wrong one."""

import jax
import jax.numpy as jnp
import numpy as np
from tiny import tiny_experiment

from experiments.paper.autoencoder import index_of_different_image
from experiments.shared.parts import fingerprint
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


def test_a_different_image_is_chosen_by_its_pixels():
    pool = np.arange(5).reshape(5, 1, 1, 1).repeat(2, axis=0)
    assert np.all(pool[index_of_different_image(pool, pool)] != pool)
    assert len(np.unique(index_of_different_image(np.arange(100).reshape(100, 1, 1, 1), pool))) == len(pool)
    assert index_of_different_image(pool[:1], pool[:2]) < 2  # there is no different one


def test_a_fingerprint_does_not_depend_on_the_batch():
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 3, 2))
    np.testing.assert_array_equal(fingerprint(images)[3:], fingerprint(images[3:]))
    assert len(np.unique(fingerprint(images))) == 6
