"""Few-shot generation: the picture and its sets, and likelihoods without an example."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import settings_of, tiny_experiment, tiny_splits

from experiments.extensions.few_shot import SHOWN, picture_source, report, with_all_examples
from pixelcnn_jax.data.dataset import stack
from pixelcnn_jax.models.inputs import ABSENT, ImageSpec


def test_the_picture_shows_its_examples_one_and_three_by_turns():
    experiment, params, splits = tiny_experiment("few_shot")
    config = settings_of("few_shot")
    source = picture_source(config, splits)
    assert [(row[:, 0, 0, 0] != ABSENT).sum() for row in source] == [1, SHOWN, 1, SHOWN]
    images = np.asarray(experiment.sample(params, jax.random.key(0), source))
    np.testing.assert_array_equal(images[1::2, :SHOWN], source[1::2])
    np.testing.assert_array_equal(images[::2, 1:SHOWN], 0)
    assert tiny_splits(config).test.spec.shape == images.shape[2:]


def test_likelihoods_are_given_no_more_examples_than_a_class_has():
    config = settings_of("few_shot", {"settings.report_episodes": 0, "train.report_images": 8})
    experiment, params, splits = tiny_experiment("few_shot")
    two_of_each = {label: members[:2] for label, members in splits.test.members.items()}
    splits = splits._replace(test=dataclasses.replace(splits.test, members=two_of_each))
    figures = report(config, experiment, splits, params)
    assert {name for name in figures if name.startswith("nats")} == {"nats_given_0", "nats_given_1"}


@pytest.mark.parametrize("width", [8, 6])
def test_training_rotates_an_image_and_its_examples_alike(width):
    changes = {"settings.augment": 1.0, "model.dropout": 0.0}
    experiment, params, splits = tiny_experiment("few_shot", changes, spec=ImageSpec(8, width, 1, 17, 10))
    batch = stack([with_all_examples(splits.test).get(i, seed=0) for i in range(8)])
    batch = jax.tree.map(jnp.asarray, batch | {name: batch[name][..., :width, :] for name in ("image", "examples")})
    symmetries = [lambda x, k=k: np.rot90(x, k, (-3, -2)) for k in range(0, 4, 1 if width == 8 else 2)]
    symmetries += [lambda x, turn=turn: np.flip(turn(x), -2) for turn in symmetries]
    each = [
        experiment.loss(params, {"image": turn(batch["image"]), "examples": turn(batch["examples"])}, None)
        for turn in symmetries
    ]
    near = np.isclose(np.asarray(each), experiment.loss(params, batch, jax.random.key(1)), rtol=1e-5)
    assert near[1:].any(axis=0).all()  # in one of the ways, but never unchanged
    assert len({int(way) for way in near.argmax(axis=0)}) > 2
