"""Sets of examples: other images of the class, a function of the seed and the index. Episodes hold the answer once."""

import dataclasses

import numpy as np
import pytest
from array_sets import from_array

from pixelcnn_jax import InputError
from pixelcnn_jax.data.batches import evaluation_batches, training_batches
from pixelcnn_jax.data.example_sets import episodes, with_examples
from pixelcnn_jax.data.loading import load
from pixelcnn_jax.models.inputs import ABSENT

COUNT, CLASSES = 60, 4


@pytest.fixture(scope="module")
def sets():
    """Image i holds i in every pixel; the last class has three images."""
    images = np.arange(COUNT)[:, None, None] * np.ones((1, 2, 3), int)
    labels = np.where(np.arange(COUNT) < 57, np.arange(COUNT) % 3, 3)
    return with_examples(from_array(images, labels, levels=COUNT), 5)


def drawn(sets, index, seed=0):
    example = sets.get(index, seed=seed)
    each = example["examples"]
    shown = [int(one.flat[0]) for one in each if one.flat[0] != ABSENT]
    assert all((one == one.flat[0]).all() for one in each)
    assert [int(one.flat[0]) for one in each[: len(shown)]] == shown  # those that are absent come last
    return int(example["image"].flat[0]), shown, int(example["label"])


def test_examples_are_other_images_of_the_class(sets):
    sizes = []
    for index in range(3 * COUNT):
        image, others, label = drawn(sets, index)
        assert image == index % COUNT
        assert image not in others
        assert len(set(others)) == len(others)
        assert all((other % 3 if other < 57 else 3) == label for other in others)
        sizes.append(len(others)) if label < 3 else None
    assert set(sizes) == set(range(6))
    assert np.mean(sizes) < 2  # small sets are more frequent: the smaller of two numbers from 0 to 5 is 1.5 in the mean
    assert drawn(sets, 7) == drawn(sets, 7)
    assert len({tuple(drawn(sets, 7 + COUNT * epoch)[1]) for epoch in range(9)}) > 5
    assert len({tuple(drawn(sets, 7, seed)[1]) for seed in range(9)}) > 5


def test_a_full_set_has_all_that_the_class_has(sets):
    full = dataclasses.replace(sets, min_examples=sets.max_examples)
    assert len(drawn(full, 4)[1]) == 5
    assert len(drawn(full, 58)[1]) == 2
    assert {len(drawn(dataclasses.replace(sets, min_examples=4), index)[1]) for index in range(57)} == {4, 5}


def test_a_part_keeps_the_examples_of_the_whole(sets):
    part = sets.subset(10)
    assert [drawn(part, place)[0] for place in range(10)] == list(range(0, COUNT, 6))
    assert any(other % 6 for place in range(10) for other in drawn(part, place)[1])


def test_batches_carry_them(sets):
    batch = training_batches(sets, batch_size=8, seed=1)(3)
    assert batch["examples"].shape == (8, 5, 2, 3, 1)
    assert batch["examples"].dtype == np.int32
    assert "index" not in batch
    assert [b["examples"].shape[1:] for b in evaluation_batches(sets, batch_size=40)] == [(5, 2, 3, 1)] * 2


def test_the_field_of_the_config_carries_them_and_needs_labels():
    batch = load("digits", "train[:50]", labels=True, max_examples=2).get(3, seed=0)
    assert batch["examples"].shape == (2, 8, 8, 1)
    with pytest.raises(InputError, match=r"labels"):
        load("digits", "train[:50]", max_examples=2)
    with pytest.raises(InputError, match=r"min_examples"):
        load("digits", "train[:50]", labels=True, max_examples=2, min_examples=3)


@pytest.fixture(scope="module")
def characters():
    """Drawing i of character c holds 10 c + i in every pixel."""
    images = np.arange(300)[:, None, None] * np.ones((1, 2, 2), int)
    return with_examples(from_array(images, np.arange(300) // 10, levels=300), 4)


@pytest.mark.parametrize("shots", [1, 5])
def test_an_episode_asks_for_an_image_that_is_none_of_its_examples(characters, shots):
    whole = dataclasses.replace(characters, min_examples=characters.max_examples)
    actual = episodes([whole], 40, ways=20, shots=shots, seed=3)
    assert len(actual) == 40
    for example in actual:
        image, shown = int(example["image"].flat[0]), example["examples"][:, :, 0, 0, 0] // 10
        assert example["examples"].shape == (20, shots, 2, 2, 1)
        assert (shown == shown[:, :1]).all()
        assert len(set(shown[:, 0].tolist())) == 20
        assert shown[example["label"], 0] == image // 10
        assert image not in example["examples"]
    again = episodes([whole], 40, ways=20, shots=shots, seed=3)
    np.testing.assert_array_equal(actual.example(7)["examples"], again.example(7)["examples"])
    assert len(set(actual.labels().tolist())) > 10


def test_the_classes_of_an_episode_come_from_one_pool(characters):
    parts = [
        dataclasses.replace(characters, members={c: characters.members[c] for c in part})
        for part in (range(3), range(3, 6), range(5))
    ]
    with pytest.raises(InputError, match=r"classes of more than 2 images, got \[3, 3, 5\]"):
        episodes(parts, 8, ways=20, shots=2, seed=0)
    parts.pop()
    for index, example in enumerate(episodes(parts, 8, ways=20, shots=2, seed=0)):
        assert {*(example["examples"][:, 0, 0, 0, 0] // 10).tolist()} == {*(range(3), range(3, 6))[index % 2]}
