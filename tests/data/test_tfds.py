import io
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest
import tensorflow_datasets as tfds
from image_helpers import images_of, pillow, ramp
from tfds_sets import prepare

from pixelcnn_jax.data import source
from pixelcnn_jax.data.loading import DataConfig, load, training_or_stand_in
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.inputs import ImageSpec

FEATURES = "tensorflow_datasets.core.features"


def prepare_ramps(data_dir, count):
    """A small data set of grey images."""
    features = {"image": tfds.features.Image(shape=(4, 6, 1))}
    examples = [{"image": pillow(image)} for image in ramp(count)]
    return prepare(data_dir, {"train": examples, "test": examples}, features)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    features = {
        "image": tfds.features.Image(shape=(4, 6, 3)),
        "label": tfds.features.ClassLabel(names=["a", "b", "c"]),
        "number": tfds.features.Scalar(np.int64),
    }
    data_dir = tmp_path_factory.mktemp("tfds")
    examples = [{"image": pillow(image), "label": i % 3, "number": i} for i, image in enumerate(ramp(150, channels=3))]
    prepare(data_dir, {"train": examples, "test": examples[:5]}, features)
    return data_dir


@pytest.mark.parametrize("cache_bytes", [0, 2**20])
def test_images_and_labels(tiny, monkeypatch, cache_bytes):
    monkeypatch.setattr(source, "CACHE_BYTES", cache_bytes)
    dataset = load("tiny", "train[3:140]", data_dir=tiny, labels=True)
    assert len(dataset) == 137
    assert dataset.spec == ImageSpec(4, 6, 3, 256, 3)
    assert dataset.description == "tiny 1.0.0 train[3:140]"
    for _ in range(2):  # the second time from memory, if it is cached
        assert np.array_equal(images_of(dataset), ramp(150, channels=3)[3:140])
        assert np.array_equal(dataset.labels(), np.arange(3, 140) % 3)


def test_reading_needs_no_tensorflow_and_no_patience(tiny):
    script = f"""
import sys
from pixelcnn_jax.data.batches import training_batches
from pixelcnn_jax.data.source import read_ahead
from pixelcnn_jax.data.loading import load
from pixelcnn_jax.foundation.errors import InputError
dataset = load("tiny", "train", data_dir={str(tiny)!r}, labels=True)
print(next(read_ahead(training_batches(dataset, batch_size=4, seed=0)))["image"].shape)
try:
    load("minst", "train")
except InputError as error:
    print(error)
print("tensorflow" in sys.modules)
"""
    command = [sys.executable, "-W", "error", "-c", script]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout.splitlines()
    assert (lines[0], "mnist" in lines[1], lines[2]) == ("(4, 4, 6, 3)", True, "False")


def test_versions_and_configs(tmp_path):
    features = {"picture": tfds.features.Image(shape=(4, 6, 1))}
    for number, version in enumerate(["9.0.0", "10.0.0"]):
        prepare(tmp_path, {"train": [{"picture": pillow(ramp(2)[number])}]}, features, version=version)
    assert load("tiny", "train", data_dir=tmp_path).description == "tiny 10.0.0 train"
    old = load("tiny:9.0.0", "train", data_dir=tmp_path)
    assert old.description == "tiny 9.0.0 train"
    assert np.array_equal(images_of(old)[0], ramp(2)[0])

    for config in ["other/a", "other/b", "emnist/byclass"]:
        shutil.copytree(tmp_path / "tiny" / "9.0.0", tmp_path / config / "9.0.0")
    assert load("other/b", "train", data_dir=tmp_path).description == "other/b 9.0.0 train"
    assert len(load("emnist", "train", data_dir=tmp_path)) == 1  # TFDS's first configuration


@pytest.mark.parametrize(("channels", "mode", "left"), [(2, "LA", [236]), (4, "RGBA", [217, 218, 220])])
def test_transparent_images_are_over_white_as_files_are(tmp_path, channels, mode, left):
    image = PIL.Image.merge(mode, [PIL.Image.new("L", (6, 4), 10 * i) for i in range(1, channels + 1)])
    prepare(tmp_path, {"train": [{"image": image}]}, {"image": tfds.features.Image(shape=(4, 6, channels))})
    dataset = load("tiny", "train", data_dir=tmp_path)
    np.testing.assert_array_equal(images_of(dataset)[0], np.broadcast_to(left, (4, 6, len(left))))


def test_images_of_several_sizes(tmp_path):
    examples = [{"image": PIL.Image.new("L", size[::-1], 9)} for size in [(4, 6), (4, 6), (8, 8)]]
    prepare(tmp_path, {"train": examples}, {"image": tfds.features.Image(shape=(None, None, 1))})
    with pytest.raises(InputError, match=r"image 0 is \(4, 6, 1\) and image 2 is \(8, 8, 1\).*resize"):
        load("tiny", "train", data_dir=tmp_path)
    assert load("tiny", "train[:2]", data_dir=tmp_path).spec.shape == (4, 6, 1)
    assert load("tiny", "train", data_dir=tmp_path, resize=3).spec.shape == (3, 3, 1)


def test_a_condition_may_be_about_another_class_than_the_label(tmp_path):
    classes = tfds.features.ClassLabel(names=["greek", "latin"])
    features = {"image": tfds.features.Image(shape=(4, 6, 1)), "alphabet": classes}
    examples = [{"image": pillow(image), "alphabet": i % 2} for i, image in enumerate(ramp(6))]
    prepare(tmp_path, {"train": examples}, features)
    for split, wanted in (("train where alphabet is latin", [1, 3, 5]), ("train where alphabet is 0[1:]", [2, 4])):
        assert np.array_equal(images_of(load("tiny", split, data_dir=tmp_path)), ramp(6)[wanted])


@pytest.mark.parametrize(("name", "levels"), [("binarized_mnist", 2), ("mnist", 256)])
def test_a_dry_run_needs_no_images(tmp_path, name, levels):
    dataset = training_or_stand_in(DataConfig(dataset=name, data_dir=str(tmp_path), levels=levels))
    assert dataset.spec == ImageSpec(28, 28, 1, levels)


def test_missing_labels(tmp_path):
    features = {"image": tfds.features.Image(shape=(4, 6, 1)), "label": tfds.features.ClassLabel(names=["a", "b"])}
    examples = [{"image": pillow(image), "label": label} for image, label in zip(ramp(3), [0, -1, 1], strict=True)]
    prepare(tmp_path, {"train": examples}, features)
    with pytest.raises(InputError, match="label"):
        load("tiny", "train", data_dir=tmp_path, labels=True)
    for split, row in (("train where label is b", 2), ("train where label is below 1", 0)):
        assert np.array_equal(images_of(load("tiny", split, data_dir=tmp_path, labels=True)), ramp(3)[[row]])


def test_a_download_without_network_gives_up_soon(tmp_path, offline):
    with pytest.raises(InputError, match="mnist"):
        load("mnist", "train", data_dir=tmp_path, download=True)
    assert 0 < len(offline) <= 20  # 2, and 3 for each of four files; TFDS alone would ask 42 times


def change(**facts):
    """Changes facts of a prepared data set."""

    def damage(folder):
        info = json.loads((folder / "dataset_info.json").read_text())
        (folder / "dataset_info.json").write_text(json.dumps(info | facts))

    return damage


def shard(folder):
    return next(folder.glob("tiny-test*"))


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (lambda folder: os.truncate(folder / "dataset_info.json", 40), "array_record.*prepare it again"),
        (change(fileFormat="tfrecord"), "array_record.*prepare it again"),
        (lambda folder: os.truncate(shard(folder), 1000), "damaged.*prepare it again"),
        (lambda folder: shard(folder).unlink(), "damaged.*prepare it again"),
        (change(splits=[{"name": "train", "shardLengths": ["150"], "numBytes": "9"}]), '"test".*train'),
    ],
)
def test_refusals_of_damaged_folders(tmp_path, damage, match):
    damage(prepare_ramps(tmp_path, 150))
    with pytest.raises(InputError, match=match):
        load("tiny", "test", data_dir=tmp_path)


@pytest.mark.parametrize(
    "hostile",
    [
        lambda image: {"python_class_name": "hostile.Feature"},
        lambda image: {"type": "hostile.Feature", "content": {}},
        lambda image: {
            "pythonClassName": f"{FEATURES}.features_dict.FeaturesDict",
            "jsonFeature": {"json": '{"image": {"type": "hostile.Feature"}}'},
        },
        lambda image: {
            "type": f"{FEATURES}.features_dict.FeaturesDict",
            "proto_cls": "tensorflow_datasets.FeaturesDict",
            "content": '{"features": {"image": {"pythonClassName": "hostile.Feature"}}}',
        },
    ],
)
def test_no_module_that_a_prepared_folder_names_is_imported(tmp_path, monkeypatch, hostile):
    file = prepare_ramps(tmp_path, 2) / "features.json"
    features = json.loads(file.read_text())
    assert features["featuresDict"]["features"]["image"]["pythonClassName"].startswith(FEATURES)
    features["featuresDict"]["features"]["image"] = hostile(features["featuresDict"]["features"]["image"])
    file.write_text(json.dumps(features))
    (tmp_path / "hostile.py").write_text(f"import pathlib; pathlib.Path({str(tmp_path / 'written')!r}).touch()")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=r"features\.json.*hostile\.Feature"):
        load("tiny", "train", data_dir=tmp_path)
    assert not (tmp_path / "written").exists()


@pytest.mark.parametrize("name", ["{}/tiny", "../{0.name}/tiny", "tiny/../tiny", "tiny/.", ""])
def test_names_are_no_paths(tiny, name):
    with pytest.raises(InputError, match="dataset="):
        load(name.format(tiny), "train", data_dir=tiny)


def test_refusals(tiny, tmp_path):
    features = {"depth": tfds.features.Image(shape=(4, 6, 1), dtype=np.uint16)}
    prepare(tmp_path, {"train": [{"depth": PIL.Image.new("I;16", (6, 4))}]}, features, name="deep")
    prepare(tmp_path, {"train": [{"image": pillow(ramp(1)[0])}]}, {"image": tfds.features.Image()}, name="bare")
    prepare(tmp_path, {"train": [{"text": "x"}]}, {"text": tfds.features.Text()}, name="poem")
    prepare(tmp_path, {"train": [{"image": io.BytesIO(b"no")}]}, {"image": tfds.features.Image()}, name="damaged")
    for data_dir, name, options, match in (
        (tmp_path, "damaged", {}, r"^Record 0 of damaged 1\.0\.0 train cannot be read, it is damaged or"),
        (tiny, "mnsit", {}, "mnist"),
        (tiny, "tiny", {"split": "validation"}, '"validation".*train, test'),
        (tiny, "tiny", {"split": "train where number is 1"}, "number.*label"),
        (tiny, "tiny:/1.0.0", {}, "tiny:/1.0.0.*not a path"),
        (tmp_path, "mnist", {}, "data_source"),
        (tmp_path, "deep", {}, "8 bits"),
        (tmp_path, "bare", {"labels": True}, "label"),
        (tmp_path, "poem", {}, "image"),
    ):
        with pytest.raises(InputError, match=match):
            load(name, data_dir=data_dir, **({"split": "train"} | options))
