"""Few-shot generation: the picture, its sets, and episodes that hold the answer once."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import tiny_config, tiny_experiment, tiny_splits

from experiments.few_shot import SHOWN, episodes, full, picture_source
from pixelcnn_jax.data.dataset import from_array
from pixelcnn_jax.data.examples import with_examples
from pixelcnn_jax.models.inputs import ABSENT


@pytest.fixture(scope="module")
def sets():
    """Drawing i of character c holds 10 c + i in every pixel."""
    images = np.arange(300)[:, None, None] * np.ones((1, 2, 2), int)
    return with_examples(from_array(images, np.arange(300) // 10, levels=300), 4)


@pytest.mark.parametrize("shots", [1, 5])
def test_an_episode_asks_for_an_image_that_is_none_of_its_examples(sets, shots):
    found = episodes([full(sets)], 40, shots=shots, seed=3)
    assert len(found) == 40
    for example in found:
        image, characters = int(example["image"].flat[0]), example["examples"][:, :, 0, 0, 0] // 10
        assert example["examples"].shape == (20, shots, 2, 2, 1)
        assert (characters == characters[:, :1]).all()
        assert len(set(characters[:, 0].tolist())) == 20
        assert characters[example["label"], 0] == image // 10
        assert image not in example["examples"]
    again = episodes([full(sets)], 40, shots=shots, seed=3)
    np.testing.assert_array_equal(found.example(7)["examples"], again.example(7)["examples"])
    assert len(set(found.labels().tolist())) > 10


def test_the_classes_of_an_episode_come_from_one_pool(sets):
    parts = [dataclasses.replace(sets, members={c: sets.members[c] for c in part}) for part in (range(3), range(3, 9))]
    for index, example in enumerate(episodes(parts, 8, shots=2, seed=0)):
        characters = {*(example["examples"][:, 0, 0, 0, 0] // 10).tolist()}
        assert characters == {*(range(3), range(3, 9))[index % 2]}


def test_the_picture_shows_its_examples_one_and_three_by_turns():
    experiment, params, splits = tiny_experiment("few_shot")
    config = tiny_config("few_shot")
    source = picture_source(config, splits)
    assert [(row[:, 0, 0, 0] != ABSENT).sum() for row in source] == [1, SHOWN, 1, SHOWN]
    images = np.asarray(experiment.sample(params, jax.random.key(0), source))
    np.testing.assert_array_equal(images[1::2, :SHOWN], source[1::2])
    np.testing.assert_array_equal(images[::2, 1:SHOWN], 0)
    assert tiny_splits(config).test.spec.shape == images.shape[2:]


def test_no_example_is_a_likelihood_too():
    experiment, params, splits = tiny_experiment("few_shot")
    batch = splits.test.stack([full(splits.test).draw(i, seed=0) for i in range(4)])
    losses = [
        experiment.loss(params, batch | {"examples": jnp.asarray(batch["examples"][:, :count])}, None)
        for count in (0, 1, 2)
    ]
    assert np.isfinite(losses).all()
    assert len(np.unique(losses)) == 12
