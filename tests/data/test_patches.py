"""Patches: anywhere in an image to train on, else on a grid that covers it."""

import numpy as np
import pytest
from image_helpers import images_of

from pixelcnn_jax.data.batches import training_batches
from pixelcnn_jax.data.loading import DataConfig, from_array, load, load_splits
from pixelcnn_jax.foundation.errors import InputError


def positions(height, width, channels=1):
    """An image whose values name their pixel."""
    return np.arange(height * width * channels, dtype=np.uint16).reshape(height, width, channels)


def test_a_grid_covers_an_image_and_its_remainder():
    grid = from_array(positions(7, 10)[None], levels=70, patch=4)
    assert (grid.spec.shape, grid.description) == ((4, 4, 1), "array, patches of 4x4")
    corners = [divmod(int(image[0, 0, 0]), 10) for image in images_of(grid)]
    assert corners == [(top, left) for top in (0, 3) for left in (0, 4, 6)]
    assert {*images_of(grid).ravel().tolist()} == {*range(70)}
    assert len(from_array(positions(4, 4)[None], levels=70, patch=4)) == 1


def test_crops_are_drawn_anywhere_by_seed_and_index():
    images = np.stack([positions(9, 6), 54 + positions(9, 6)])
    grid = from_array(images, np.arange(2), levels=108, patch=4)
    one, other = (training_batches(grid, batch_size=6, seed=seed) for seed in (0, 0))
    crops = np.concatenate([one(k)["image"] for k in range(100)])
    np.testing.assert_array_equal(other(57)["image"], one(57)["image"])
    assert (training_batches(grid, batch_size=6, seed=1)(0)["image"] != one(0)["image"]).any()
    corners, counts = np.unique(crops[:, 0, 0, 0], return_counts=True)
    assert corners.tolist() == [54 * i + 6 * top + left for i in (0, 1) for top in range(6) for left in range(3)]
    assert counts.min() > 3  # of 17 on average
    np.testing.assert_array_equal(crops, crops[:, :1, :1] + positions(9, 6)[:4, :4])
    labels = np.concatenate([one(k)["label"] for k in range(100)])
    np.testing.assert_array_equal(labels, crops[:, 0, 0, 0] // 54)


def test_patches_of_a_file_are_in_its_split(tmp_path):
    for i, size in enumerate([(8, 8), (9, 20), (8, 12), (2, 8, 8)]):  # the last is a stack of two images
        np.save(tmp_path / f"{i}.npy", np.full(size, i))
    config = dict(dataset="folder", data_dir=str(tmp_path), levels=2**16, patch=8, test_split="", scan="columns")
    splits = load_splits(DataConfig(train_split="all[:50%]", validation_split="all[50%:]", **config))
    assert images_of(splits.train)[:, 0, 0, 0].tolist() == [0] + [1] * 6
    assert images_of(splits.validation)[:, 0, 0, 0].tolist() == [2] * 2 + [3] * 2
    with pytest.raises(InputError, match=r"0\.npy has 8x8 pixels, less than a patch of 9x9"):
        load("folder", "all", data_dir=tmp_path, levels=2**16, patch=9)
    with pytest.raises(InputError, match=r"3\.npy/0 of .* the value 3, above levels=3"):
        images_of(load("folder", "all", data_dir=tmp_path, levels=3, patch=8))
