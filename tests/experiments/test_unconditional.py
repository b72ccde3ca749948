"""p(x), with and without distribution augmentation."""

import jax
import jax.numpy as jnp
import numpy as np
from tiny import tiny_experiment, tiny_run

from pixelcnn_jax import load_pretrained, log_prob, sample
from pixelcnn_jax.data.dataset import take_images
from pixelcnn_jax.models.conditioning.conditional_model import ConditionalModel


def test_an_augmented_run_is_a_model_of_unchanged_images(tmp_path):
    result = tiny_run("unconditional", tmp_path / "run", {"settings.augment": 0.8})
    model, variables, _ = load_pretrained(tmp_path / "run")
    experiment, _, splits = tiny_experiment("unconditional", {"settings.augment": 0.8})
    assert isinstance(model, ConditionalModel)
    images = take_images(splits.test, 64)
    nats = -log_prob(model, variables, images)
    np.testing.assert_allclose(np.mean(nats), result["scores"]["test"]["nats"], rtol=1e-5)
    np.testing.assert_allclose(experiment.loss(variables, {"image": images}, None), nats, rtol=1e-5)
    assert sample(model, variables, jax.random.key(0), shape=(2, 8, 8)).shape == (2, 8, 8, 1)


def test_training_shows_a_share_of_images_in_other_views():
    experiment, params, splits = tiny_experiment("unconditional", {"settings.augment": 0.999, "model.dropout": 0.0})
    images = jnp.asarray(take_images(splits.test, 8))
    key = jax.random.key(1)
    shown, plain = (experiment.loss(params, {"image": images}, given) for given in (key, None))
    assert np.all(shown != plain)
