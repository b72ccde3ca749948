import dataclasses
import re

import numpy as np
import pytest
from array_sets import from_array
from image_helpers import images_of, pillow, ramp, save

from pixelcnn_jax.data import source
from pixelcnn_jax.data.dataset import take_images
from pixelcnn_jax.data.loading import DataConfig, Splits, load, load_splits
from pixelcnn_jax.data.preparation import Preparation
from pixelcnn_jax.data.source import Source
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.inputs import ImageSpec


def test_the_splits_of_a_run_have_one_spec():
    splits = load_splits(DataConfig(binarize="threshold"))
    assert splits.spec == splits.validation.spec == ImageSpec(8, 8, 1, 2, None)
    assert {name: len(dataset) for name, dataset in splits.held_out.items()} == {"validation": 350, "test": 447}
    assert [*load_splits(DataConfig(test_split="")).held_out] == ["validation"]


@pytest.mark.parametrize(
    ("train", "validation", "shared"), [("train[:90%]", "train[80%:]", 100), ("all", "test[:5]", 5)]
)
def test_splits_that_overlap_are_named(train, validation, shared, capsys):
    load_splits(DataConfig(train_split=train, validation_split=validation, test_split=""))
    assert re.match(rf"{shared} images .*train_split.*validation_split", capsys.readouterr().err)


def test_a_subset_has_images_of_all_classes():
    dataset = from_array(ramp(100), np.arange(100) // 10, levels=256)
    few = dataset.subset(20)
    assert np.array_equal(np.unique(few.labels(), return_counts=True)[1], [2] * 10)
    assert np.array_equal(images_of(few), ramp(100)[::5])
    assert dataset.subset(100) is dataset


def test_taken_images_are_repeated_if_there_are_fewer():
    dataset = from_array(ramp(100), levels=256)
    assert np.array_equal(take_images(dataset, 3), ramp(100)[[0, 33, 66]])
    assert np.array_equal(take_images(dataset.subset(3), 5), ramp(100)[[0, 33, 66, 0, 33]])


@pytest.mark.parametrize("kept", [96, 32])
def test_a_row_that_is_kept_is_decoded_once(monkeypatch, kept):
    monkeypatch.setattr(source, "CACHE_BYTES", 4 * kept)
    decoded = []

    def decode(row):
        decoded.append(row)
        return {"image": np.full((2, 2, 1), row, np.uint8)}

    example = Preparation().apply(Source("numbers", range(96), decode)).reader()
    decoded.clear()
    for _ in range(2):
        assert [int(example(index)["image"][0, 0, 0]) for index in range(96)] == list(range(96))
    assert sorted(decoded) == sorted([*range(96), *range(kept, 96)])


def test_refusals(tmp_path):
    save(pillow(ramp(1)[0]), tmp_path, "train", "1.png")
    save(pillow(ramp(1, width=5)[0]), tmp_path, "test", "1.png")
    config = DataConfig(dataset="folder", data_dir=str(tmp_path), validation_split="test", test_split="")
    with pytest.raises(InputError, match="resize"):
        load_splits(config)
    assert isinstance(load_splits(dataclasses.replace(config, resize=3)), Splits)
    with pytest.raises(InputError, match=r"flip.*captions"):
        DataConfig(dataset="mnist_scenes/32x32", captions=True, flip=True)
    with pytest.raises(InputError, match=r"flip.*max_examples"):
        DataConfig(max_examples=1, flip=True)
    with pytest.raises(InputError, match=r"labels"):
        DataConfig(images_per_class=2)
    with pytest.raises(InputError, match="data_dir"):
        load("digits", "train", datadir="elsewhere")
    with pytest.raises(InputError, match="mnist"):
        load("mnsit", "train")
