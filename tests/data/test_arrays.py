import subprocess
import sys

import numpy as np
import pytest
from array_sets import from_array
from image_helpers import images_of, ramp

from pixelcnn_jax.data.dataset import read_all
from pixelcnn_jax.data.loading import DataConfig, load, load_splits
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.inputs import ImageSpec


def test_images_and_labels_are_those_of_the_array(capsys):
    images, labels = ramp(5), np.array([0, 2, 1, 0, 2])
    dataset = from_array(images, labels, levels=256, description="ramps")
    assert dataset.spec == ImageSpec(4, 6, 1, 256, 3)
    assert dataset.description == "ramps"
    assert np.array_equal(images_of(dataset), images)
    assert np.array_equal(read_all(dataset)["label"], labels)
    assert np.array_equal(images_of(from_array(images[..., 0], levels=256)), images)
    assert not capsys.readouterr().err
    assert from_array(ramp(5, 3, 4, 6), levels=256).spec.channels == 6
    assert "numpy.moveaxis" in capsys.readouterr().err


def test_deep_and_binary_arrays():
    deep = ramp(5).astype(np.int64) * 200
    assert np.array_equal(images_of(from_array(deep, levels=2**16)), deep)
    binary = from_array(ramp(5) > 99, levels=256)
    assert binary.spec.levels == 2
    assert np.array_equal(images_of(binary), ramp(5) > 99)


def test_a_file_of_splits(tmp_path):
    file = tmp_path / "ramps.npz"
    train = {"train_image": ramp(8), "train_label": np.arange(8, dtype=np.uint8) % 2}
    np.savez(file, **train, test_image=ramp(3)[..., 0], test_label=np.array([0, 1, 4]), person_label=ramp(1))
    parts = {"train_split": "train[:6]", "validation_split": "train[6:]"}
    splits = load_splits(DataConfig(dataset="array", data_dir=str(file), labels=True, **parts))
    # The classes are those of all splits together.
    assert splits.spec == splits.held_out["test"].spec == ImageSpec(4, 6, 1, 256, 5)
    assert splits.train.description == "ramps train[:6]"
    assert np.array_equal(images_of(splits.validation), ramp(8)[6:])
    assert np.array_equal(images_of(splits.held_out["test"]), ramp(3))
    ones = load("array", "train where label is 1", data_dir=file)
    assert ones.spec.classes is None
    assert np.array_equal(images_of(ones), ramp(8)[1::2])


def test_reading_a_file_needs_no_other_package(tmp_path):
    np.savez(tmp_path / "ramps.npz", train_image=ramp(8))
    script = f"""
import sys
from pixelcnn_jax.data.batches import training_batches
from pixelcnn_jax.data.source import read_ahead
from pixelcnn_jax.data.loading import load
train = load("array", "train", data_dir={str(tmp_path / "ramps.npz")!r})
next(read_ahead(training_batches(train, batch_size=4, seed=0)))  # and ends, although its threads could go on
print([name for name in ("grain", "tensorflow", "tensorflow_datasets", "sklearn") if name in sys.modules])
"""
    command = [sys.executable, "-W", "error", "-c", script]
    assert subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout == "[]\n"


IMAGES = np.zeros((3, 4, 4), int)


@pytest.mark.parametrize(
    ("images", "labels", "field"),
    [
        (np.zeros((3, 4), int), None, "images"),
        (np.zeros((3, 4, 4)), None, "images"),
        (IMAGES - 1, None, "images"),
        (IMAGES + 16, None, "images"),
        (IMAGES, np.array([0, -1, 1]), "labels"),
        (IMAGES, np.array([0, 5, 1]), "labels"),
        (IMAGES, np.arange(4), "labels must be integers .3."),
    ],
)
def test_refusals(images, labels, field):
    with pytest.raises(InputError, match=field):
        from_array(images, labels, levels=16, classes=4)


@pytest.mark.parametrize("labels", [np.array(["a", "b"] * 4), np.zeros(0, int), np.full(8, np.nan), np.zeros(7, int)])
def test_labels_that_are_none_matter_only_where_they_are_used(tmp_path, labels):
    np.savez(tmp_path / "ramps.npz", train_image=ramp(8), train_label=labels)
    assert load("array", "train", data_dir=tmp_path / "ramps.npz", labels=False).spec.classes is None
    for split, carried in (("train", True), ("train where label is 0", False)):
        with pytest.raises(InputError, match=r"train_label must be integers \[8\]"):
            load("array", split, data_dir=tmp_path / "ramps.npz", labels=carried)


def test_refusals_of_files(tmp_path):
    np.savez(tmp_path / "ramps.npz", train_image=ramp(8))
    (tmp_path / "text.npz").write_text("no arrays")
    np.savez(tmp_path / "other.npz", x_train=ramp(8))
    for name, split, labels, match in (
        ("nowhere.npz", "train", False, "data_dir"),
        ("text.npz", "train", False, "data_dir"),
        ("other.npz", "train", False, "it has x_train"),
        ("ramps.npz", "test", False, '"test"'),
        ("ramps.npz", "train", True, "train_label"),
        ("ramps.npz", "train where label is 1", False, "label"),
    ):
        with pytest.raises(InputError, match=match):
            load("array", split, data_dir=tmp_path / name, labels=labels)
    with pytest.raises(InputError, match="data_dir"):
        load("array", "train")
