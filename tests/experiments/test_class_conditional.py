"""p(x|y): the information in the label, and that samples follow the likelihood of their class."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from proofs import assert_follow
from tiny import randomised, tiny_experiment

from experiments.paper.class_conditional import bayes
from pixelcnn_jax import log_prob
from pixelcnn_jax.data.dataset import take_images
from pixelcnn_jax.models.inputs import ImageSpec


def test_a_dropped_label_is_the_condition_of_zeros_in_training_alone():
    changes = {"settings.drop_condition": 0.5, "model.dropout": 0.0}
    experiment, _, splits = tiny_experiment("class_conditional", changes)
    params, labels = randomised(experiment, scale=0.3), np.arange(32) % 10
    images = take_images(splits.test, 32)
    batch, key = {"image": images, "label": labels}, jax.random.key(2)
    conditions = jnp.eye(10)[labels], jnp.zeros((32, 10))
    given, dropped = (-log_prob(experiment.networks, params, images, h=h) for h in conditions)
    loss = experiment.loss(params, batch, key)
    is_dropped = np.isclose(loss, dropped, rtol=1e-5)
    np.testing.assert_allclose(loss, np.where(is_dropped, dropped, given), rtol=1e-5)
    assert 5 < is_dropped.sum() < 27
    np.testing.assert_allclose(experiment.loss(params, batch, None), given, rtol=1e-5)


def test_bayes_rule_by_hand():
    actual = bayes(np.log(np.array([[0.5, 0.25], [0.1, 0.3]])), np.array([0, 0]), (1, 1, 1))
    expected = np.mean([np.log(0.5 / 0.375), np.log(0.1 / 0.2)])
    np.testing.assert_allclose(actual["label_information_nats"], expected)
    np.testing.assert_allclose(actual["bits_per_dim_without"], -np.mean(np.log2([0.375, 0.2])))
    assert actual["bayes_accuracy"] == 0.5
    assert actual["max_label_information_nats"] == np.log(2)
    assert "undertrained" in actual["note"]
    assert "note" not in bayes(np.log(np.array([[0.5, 0.25]])), np.array([0]), (1, 1, 1))


@pytest.mark.parametrize("name", ["class_conditional", "multiscale"])
def test_samples_follow_the_likelihood_of_their_class(name):
    """Over all images of 2x2, whose probabilities sum to one. With two scales one pixel of them is the small image."""
    changes = {"train.sample_rows": 2, "train.sample_columns": 4000}
    experiment, *_ = tiny_experiment(name, changes, spec=ImageSpec(2, 2, 1, levels=3, classes=2))
    params = randomised(experiment, scale=0.15)
    loss = jax.jit(lambda params, batch: experiment.loss(params, batch, None))
    every = np.array(list(itertools.product(range(3), repeat=4)), np.int32).reshape(-1, 2, 2, 1)
    drawn = np.asarray(experiment.sample(params, jax.random.key(1), None))
    probabilities = []
    for label in (0, 1):
        nats = loss(params, {"image": every, "label": np.full(len(every), label)})
        probabilities.append(np.exp(-np.asarray(nats, np.float64)))
        np.testing.assert_allclose(probabilities[label].sum(), 1, rtol=1e-5)
        assert_follow(drawn[label], probabilities[label], levels=3)
    with pytest.raises(AssertionError, match="do not follow"):  # a row of the other class
        assert_follow(drawn[0], probabilities[1], levels=3)


def test_two_scales_may_have_odd_sides():
    spec = ImageSpec(7, 5, 1, 17, 10)
    experiment, params, _ = tiny_experiment("multiscale", {"settings.classifier": None}, spec=spec)
    images = experiment.sample(params, jax.random.key(0), None)
    assert images.shape[2:] == spec.shape
    labels = jnp.arange(len(images[0]))
    assert jnp.isfinite(experiment.loss(params, {"image": images[0], "label": labels}, None)).all()
