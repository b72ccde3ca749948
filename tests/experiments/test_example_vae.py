"""A VAE whose encoder reads an example: what its code depends on, its picture, and the order of its figures."""

import json

import jax
import jax.numpy as jnp
import numpy as np
from tiny import tiny_config, tiny_experiment

from experiments.beyond.example_vae import picture_source
from pixelcnn_jax.training.experiment import Training


def test_the_code_is_of_the_example_and_not_of_the_image():
    """With a weight of a million the loss is the KL of the code."""
    experiment, params, splits = tiny_experiment("example_vae", {"own.kl_weight": 1e6})
    batch = splits.train.stack([splits.train.draw(index, seed=0) for index in range(8)])
    kl = jax.jit(lambda batch: experiment.loss(params, batch, Training(jax.random.key(1), jnp.int32(99))) / 1e6)
    of_other_images = kl(batch | {"image": batch["image"][::-1]})
    np.testing.assert_allclose(of_other_images, kl(batch), rtol=1e-4)
    assert np.all(np.abs(kl(batch | {"examples": batch["examples"][::-1]}) / kl(batch) - 1) > 1e-3)


def test_the_score_has_no_kl_and_depends_on_image_and_example():
    scores = {}
    for weight in (0.0, 1e6):
        experiment, params, splits = tiny_experiment("example_vae", {"own.kl_weight": weight})
        batch = splits.train.stack([splits.train.draw(index, seed=0) for index in range(8)])
        scores[weight] = experiment.loss(params, batch, None)
    np.testing.assert_array_equal(scores[0.0], scores[1e6])
    for part in ("image", "examples"):
        assert np.all(experiment.loss(params, batch | {part: batch[part][::-1]}, None) != scores[0.0])


def test_the_picture_begins_with_examples():
    experiment, params, splits = tiny_experiment("example_vae")
    source = picture_source(tiny_config("example_vae"), splits)
    assert len(source) == 3  # of four rows
    images = np.asarray(experiment.sample(params, jax.random.key(0), source))
    np.testing.assert_array_equal(images[:3, 0], source)


def test_a_mixture_of_codes_is_at_least_as_good_as_one(workdirs):
    report = json.loads((workdirs("example_vae") / "result.json").read_text())["report"]
    assert report["nats_given_the_mixture_of_the_codes"] < report["nats_given_a_code_of_an_example"]
    assert report["kl_nats"] > 0
