import itertools

import numpy as np
import pytest
from array_sets import from_array
from image_helpers import ramp, same

from pixelcnn_jax.data.batches import evaluation_batches, training_batches


@pytest.fixture(scope="module")
def ramps():
    return from_array(ramp(10), np.arange(10), levels=256)


def test_a_batch_is_a_function_of_step_and_seed():
    patches = from_array(ramp(10), np.arange(10), levels=256, patch=3)
    one, other = (training_batches(patches, batch_size=4, seed=3, flip=True, shift=1) for _ in range(2))
    backwards = {k: other(k) for k in reversed(range(8))}
    assert all(same(one(k), backwards[k]) for k in range(8))
    seeded = training_batches(patches, batch_size=4, seed=4)
    assert any(not np.array_equal(one(k)["label"], seeded(k)["label"]) for k in range(8))
    assert one(0)["image"].dtype == one(0)["label"].dtype == np.int32
    assert one(0)["image"].shape == (4, 3, 3, 1)


def test_batches_keep_their_bits():
    """The random numbers of earlier releases, so that a run can be continued."""
    dataset = from_array(ramp(10), np.arange(10), levels=256, binarize="dynamic")
    batch = training_batches(dataset, batch_size=4, seed=3, flip=True, shift=1)(7)
    assert batch["label"].tolist() == [3, 5, 0, 1]
    assert [int("".join(map(str, image.ravel())), 2) for image in batch["image"]] == [562944, 4721663, 275, 167810]


def test_every_epoch_has_every_image_in_another_order(ramps):
    batch = training_batches(ramps, batch_size=4, seed=0)
    labels = np.concatenate([batch(k)["label"] for k in range(10)]).reshape(4, 10)
    assert (np.sort(labels) == np.arange(10)).all()
    assert len(np.unique(labels, axis=0)) == 4
    assert all(np.array_equal(batch(k)["image"], ramp(10)[batch(k)["label"]]) for k in range(10))


def test_processes_share_the_batch(ramps):
    options = {"seed": 5, "flip": True, "shift": 1}
    whole = training_batches(ramps, batch_size=6, **options)
    parts = [training_batches(ramps, batch_size=6, process_index=p, process_count=3, **options) for p in range(3)]
    for k in range(9):
        shares = [part(k) for part in parts]
        assert same(whole(k), {key: np.concatenate([share[key] for share in shares]) for key in whole(k)})


def test_flips_are_even_and_drawn_anew(ramps):
    batch = training_batches(ramps, batch_size=10, seed=0, flip=True)
    flipped = np.zeros((100, 10), bool)
    for k in range(100):
        images, labels = batch(k)["image"], batch(k)["label"]
        mirrored = (images == ramp(10)[labels][:, :, ::-1]).all((1, 2, 3))
        assert (mirrored | (images == ramp(10)[labels]).all((1, 2, 3))).all()
        flipped[k, labels] = mirrored
    assert 400 < flipped.sum() < 600
    assert ((flipped.sum(0) > 25) & (flipped.sum(0) < 75)).all()
    assert len(np.unique(flipped, axis=0)) > 80


@pytest.mark.parametrize("binarize", ["none", "dynamic"])
@pytest.mark.parametrize("scan", ["columns", "backwards"])
def test_images_are_augmented_before_they_are_scanned(scan, binarize):
    datasets = [from_array(ramp(10), levels=256, scan=order, binarize=binarize) for order in ("rows", scan)]
    batches = [training_batches(dataset, batch_size=4, seed=3, flip=True, shift=1) for dataset in datasets]
    for upright, scanned in ([batch(step)["image"] for batch in batches] for step in range(5)):
        expected = upright.swapaxes(1, 2) if scan == "columns" else upright[:, ::-1, ::-1]
        np.testing.assert_array_equal(scanned, expected)


def test_shifts_are_even_and_over_zeros():
    pixels = ramp(10) // 2 + 1  # none is zero
    batch = training_batches(from_array(pixels, np.arange(10), levels=256), batch_size=10, seed=0, shift=1)
    offsets = list(itertools.product((0, 1, 2), repeat=2))
    bordered = np.pad(pixels, ((0, 0), (1, 1), (1, 1), (0, 0)))
    counts = np.zeros(9, int)
    for k in range(90):
        originals, images = bordered[batch(k)["label"]], batch(k)["image"]
        counts += [(images == originals[:, y : y + 4, x : x + 6]).all((1, 2, 3)).sum() for y, x in offsets]
    assert counts.sum() == 900
    assert counts.min() > 60


def test_images_of_a_class_follow_one_another():
    labels = np.array([0] * 5 + [1] * 4 + [2] * 3)
    batch = training_batches(from_array(ramp(12), labels, levels=256), batch_size=12, seed=3, images_per_class=2)
    orders = []
    for epoch in range(3):
        drawn = batch(epoch)
        assert sorted(drawn["image"][:, 0, 0, 0]) == sorted(ramp(12)[:, 0, 0, 0])  # each once
        orders.append(drawn["image"][:, 0, 0, 0].tolist())
        assert np.sum(drawn["label"][1:] == drawn["label"][:-1]) >= 2 + 2 + 1
    assert orders[0] != orders[1] != orders[2]


def test_evaluation_repeats_the_last_image(ramps):
    batches = list(evaluation_batches(ramps, batch_size=4))
    assert [batch["label"].tolist() for batch in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 9, 9]]
    assert all(np.array_equal(batch["image"], ramp(10)[batch["label"]]) for batch in batches)
    assert [len(batch["label"]) for batch in evaluation_batches(ramps, batch_size=5)] == [5, 5]


def test_processes_share_evaluation(ramps):
    whole = list(evaluation_batches(ramps, batch_size=6))
    parts = [list(evaluation_batches(ramps, batch_size=6, process_index=p, process_count=3)) for p in range(3)]
    for batch, *shares in zip(whole, *parts, strict=True):
        assert same(batch, {key: np.concatenate([share[key] for share in shares]) for key in batch})
