import dataclasses
import errno
import io
import itertools
import json
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import sys
import time
import zlib

import numpy as np
import PIL.Image
import pytest
from sklearn.datasets import load_digits

from pixelcnn_jax.data import dataset as data
from pixelcnn_jax.data import sources
from pixelcnn_jax.errors import InputError


def ramp(count, height=4, width=6, channels=1):
    """Images that differ in every pixel, below 256."""
    values = np.arange(count * height * width * channels) * 7 % 256
    return values.astype(np.uint8).reshape(count, height, width, channels)


def everything(images):
    """What evaluation reads, padding dropped."""
    batches = list(data.evaluation_batches(images, batch_size=8))
    mask = np.concatenate([batch["mask"] for batch in batches])
    return {key: np.concatenate([batch[key] for batch in batches])[mask] for key in batches[0]}


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)


# Splits


@pytest.mark.parametrize(
    ("split", "rows"),
    [
        ("train", slice(0, 1000)),
        ("validation", slice(1000, 1350)),
        ("test", slice(1350, 1797)),
        ("all", slice(0, 1797)),
        ("train[:30]", slice(0, 30)),
        ("train[990:]", slice(990, 1000)),
        ("train[-10%:]", slice(900, 1000)),
        ("train[10%:20%]", slice(100, 200)),
        ("test[5:7]", slice(1355, 1357)),
        ("test[:-440]", slice(1350, 1357)),
        ("test[:1%]", slice(1350, 1354)),  # 4.47 images
    ],
)
def test_splits_of_the_digits(split, rows):
    images = data.load("digits", split, labels=True)
    read = everything(images)
    assert (len(images), images.shape, images.levels, images.classes) == (rows.stop - rows.start, (8, 8, 1), 17, 10)
    assert images.description == f"digits {split}"
    assert np.array_equal(read["image"][..., 0], load_digits().images[rows])
    assert np.array_equal(read["label"], load_digits().target[rows])
    assert read["image"].dtype == read["label"].dtype == np.int32


@pytest.mark.parametrize("count", [5, 15, 25, 35, 100])
def test_percentages_from_either_end_meet(count):
    _, _, first = sources.parse_split("train[:90%]")
    _, _, last = sources.parse_split("train[-10%:]")
    assert first(count).stop == last(count).start


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("trian", 'no split "trian", but has train, validation, test, all'),
        ("train[5:5]", "at least one"),
        ("train[6:5]", "at least one"),
        ("train[:1001]", "of the 1000 images"),
        ("train[-1001:]", "of the 1000 images"),
        ("train[:110%]", "of the 1000 images"),
        ("train[5]", "must read like"),
        ("train[:5", "must read like"),
        ("train[a:b]", "must read like"),
        ("", "must read like"),
    ],
)
def test_splits_that_cannot_be_had(split, message):
    with pytest.raises(InputError, match=message):
        data.load("digits", split)


# TFDS


def prepare(data_dir, splits, features, *, version="1.0.0", name="tiny"):
    """A TFDS set as its own builders write it, but without TensorFlow, since images are given as Pillow's."""
    import tensorflow_datasets as tfds

    class Tiny(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version(version)

        def _info(self):
            features_dict = tfds.features.FeaturesDict(features)
            return tfds.core.DatasetInfo(builder=self, features=features_dict, disable_shuffling=True)

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples(examples) for split, examples in splits.items()}

        def _generate_examples(self, examples):
            yield from enumerate(examples)

    Tiny.name = name
    Tiny(data_dir=data_dir, file_format="array_record").download_and_prepare()
    return data_dir / name / version


def pillow(image):
    return PIL.Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    import tensorflow_datasets as tfds

    features = {
        "image": tfds.features.Image(shape=(4, 6, 3)),
        "label": tfds.features.ClassLabel(names=["a", "b", "c"]),
        "name": tfds.features.Text(),
    }
    colours, data_dir = ramp(150, channels=3), tmp_path_factory.mktemp("tfds")
    examples = [{"image": pillow(image), "label": i % 3, "name": "x"} for i, image in enumerate(colours)]
    prepare(data_dir, {"train": examples, "test": examples[:5]}, features)
    return data_dir


@pytest.mark.parametrize("kept_bytes", [0, 2**20])
def test_tfds_images_and_labels(tiny, monkeypatch, kept_bytes):
    monkeypatch.setattr(data, "KEPT_BYTES", kept_bytes)
    images = data.load("tiny", "train[3:140]", data_dir=tiny, labels=True)
    assert (len(images), images.shape, images.levels, images.classes) == (137, (4, 6, 3), 256, 3)
    assert images.description == "tiny 1.0.0 train[3:140]"
    for _ in range(2):  # the second time from memory, if at all
        read = everything(images)
        assert np.array_equal(read["image"], ramp(150, channels=3)[3:140])
        assert np.array_equal(read["label"], np.arange(3, 140) % 3)


def test_tfds_needs_no_tensorflow_and_no_patience(tiny):
    script = f"""
import sys
from pixelcnn_jax.data import dataset
images = data.load("tiny", "train", data_dir={str(tiny)!r}, labels=True)
batches = data.read_ahead(data.training_batches(images, batch_size=4, seed=0))
print(next(batches)["image"].shape, "tensorflow" in sys.modules)
try:
    data.load("minst", "train")
except data.InputError as error:
    print(error, "tensorflow" in sys.modules)
"""  # and ends, although its threads have not read everything
    start = time.monotonic()
    command = [sys.executable, "-W", "error", "-c", script]
    lines = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()
    assert lines[0] == "(4, 4, 6, 3) False"
    assert "mnist" in lines[1]
    assert lines[1].endswith(" False")
    assert time.monotonic() - start < 15  # 2 seconds on an idle machine


def test_tfds_versions_and_configs(tmp_path):
    import tensorflow_datasets as tfds

    features = {"picture": tfds.features.Image(shape=(4, 6, 1))}
    for number, version in enumerate(["9.0.0", "10.0.0"]):
        prepare(tmp_path, {"train": [{"picture": pillow(ramp(2)[number])}]}, features, version=version)
    assert data.load("tiny", "train", data_dir=tmp_path).description == "tiny 10.0.0 train"
    old = data.load("tiny:9.0.0", "train", data_dir=tmp_path)
    assert old.description == "tiny 9.0.0 train"
    assert np.array_equal(everything(old)["image"][0], ramp(2)[0])

    for config in ["a", "b"]:
        shutil.copytree(tmp_path / "tiny" / "9.0.0", tmp_path / "other" / config / "9.0.0")
    assert data.load("other/b", "train", data_dir=tmp_path).description == "other/b 9.0.0 train"
    with pytest.raises(InputError, match="other comes as other/a, other/b: name one"):
        data.load("other", "train", data_dir=tmp_path)


def test_tfds_sets_that_cannot_be_had(tiny, tmp_path):
    import tensorflow_datasets as tfds

    with pytest.raises(InputError, match=r"mnsit.*did you mean.* mnist"):
        data.load("mnsit", "train", data_dir=tiny)
    with pytest.raises(InputError, match='has no split "validation", but has train, test'):
        data.load("tiny", "validation", data_dir=tiny)
    with pytest.raises(InputError, match="There is no data set"):
        data.load("tiny", "train", data_dir=tmp_path)
    command = f"""python -c "import tensorflow_datasets as tfds; tfds.data_source('mnist', data_dir='{tmp_path}')\""""
    with pytest.raises(
        InputError, match=re.escape(f"mnist is not prepared in {tmp_path}: set download, or run {command}")
    ):
        data.load("mnist", "train", data_dir=tmp_path)

    features = {"depth": tfds.features.Image(shape=(4, 6, 1), dtype=np.uint16)}
    prepare(tmp_path, {"train": [{"depth": PIL.Image.new("I;16", (6, 4))}]}, features, name="deep")
    with pytest.raises(InputError, match="uint16"):
        data.load("deep", "train", data_dir=tmp_path)
    prepare(tmp_path, {"train": [{"image": pillow(ramp(1)[0])}]}, {"image": tfds.features.Image()}, name="bare")
    with pytest.raises(InputError, match="bare has no class labels"):
        data.load("bare", "train", data_dir=tmp_path, labels=True)
    prepare(tmp_path, {"train": [{"text": "x"}]}, {"text": tfds.features.Text()}, name="poem")
    with pytest.raises(InputError, match="poem has no image among its features, text"):
        data.load("poem", "train", data_dir=tmp_path)


@pytest.mark.parametrize(("channels", "mode", "left"), [(2, "LA", "L"), (4, "RGBA", "RGB")])
def test_tfds_images_lose_their_transparency_as_files_do(tmp_path, channels, mode, left):
    import tensorflow_datasets as tfds

    image = PIL.Image.merge(mode, [PIL.Image.new("L", (6, 4), 10 * i) for i in range(1, channels + 1)])
    features = {"image": tfds.features.Image(shape=(4, 6, channels))}
    prepare(tmp_path, {"train": [{"image": image}]}, features)
    images = data.load("tiny", "train", data_dir=tmp_path)
    expected = np.asarray(image.convert(left)).reshape(4, 6, -1)
    np.testing.assert_array_equal(everything(images)["image"][0], expected)
    assert sources._channels(features["image"]) == expected.shape[-1]  # what a dry run is told


def test_an_empty_tfds_split(tmp_path):
    import tensorflow_datasets as tfds

    features = {"image": tfds.features.Image(shape=(4, 6, 1)), "label": tfds.features.Text()}
    examples = [{"image": pillow(image), "label": "ab"[i]} for i, image in enumerate(ramp(2))]
    folder = prepare(tmp_path, {"train": examples, "test": examples}, features)
    info = json.loads((folder / "dataset_info.json").read_text())
    for split in info["splits"]:
        if split["name"] == "test":
            split["shardLengths"], split["numBytes"] = [], "0"
    (folder / "dataset_info.json").write_text(json.dumps(info))
    with pytest.raises(InputError, match="The split test of tiny holds no images"):
        data.load("tiny", "test", data_dir=tmp_path)
    assert data.load("tiny", "train", data_dir=tmp_path, labels=True).classes == 2


def test_tfds_sets_of_any_size_of_image(tmp_path):
    import tensorflow_datasets as tfds

    sizes = [(4, 6), (4, 6), (8, 8)]
    examples = [{"image": PIL.Image.new("L", size[::-1], 9)} for size in sizes]
    prepare(tmp_path, {"train": examples}, {"image": tfds.features.Image(shape=(None, None, 1))})
    with pytest.raises(InputError, match="image 0 is 4x6x1 and image 2 is 8x8x1: set resize"):
        data.load("tiny", "train", data_dir=tmp_path)
    assert data.load("tiny", "train[:2]", data_dir=tmp_path).shape == (4, 6, 1)
    assert data.load("tiny", "train", data_dir=tmp_path, resize=(2, 3)).shape == (2, 3, 1)


def test_tfds_set_prepared_as_tfrecord(tmp_path):
    import tensorflow_datasets as tfds

    features = {"image": tfds.features.Image(shape=(4, 6, 1))}
    folder = prepare(tmp_path, {"train": [{"image": pillow(ramp(1)[0])}]}, features)
    info = json.loads((folder / "dataset_info.json").read_text())
    (folder / "dataset_info.json").write_text(json.dumps(info | {"fileFormat": "tfrecord"}))
    with pytest.raises(InputError, match=r"not in the array_record format: move it away .* tfds\.data_source"):
        data.load("tiny", "train", data_dir=tmp_path)


def test_damaged_tfds_set(tiny, tmp_path):
    folder = shutil.copytree(tiny / "tiny" / "1.0.0", tmp_path / "tiny" / "1.0.0")
    (file,) = folder.glob("tiny-train*")
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"1\.0\.0 is damaged, .*: move it away"):
        data.load("tiny", "train", data_dir=tmp_path)
    file.unlink()
    with pytest.raises(InputError, match=r"1\.0\.0 is damaged, .*: move it away"):
        data.load("tiny", "train", data_dir=tmp_path)


def test_download_without_network(tmp_path, offline):
    start = time.monotonic()
    with pytest.raises(InputError, match=r"https://storage\.googleapis\.com.* cannot be reached"):
        data.load("mnist", "train", data_dir=tmp_path, download=True)
    assert time.monotonic() - start < 5
    assert not list(tmp_path.iterdir())


def test_what_counts_as_reachable(monkeypatch):
    monkeypatch.delenv("http_proxy")
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        assert sources._reachable(f"{url}/train.tar")
        monkeypatch.setenv("http_proxy", url)
        assert sources._reachable("http://example.org/train.tar")
        monkeypatch.setenv("http_proxy", url.removeprefix("http://"))  # as it may be written too
        assert sources._reachable("http://example.org/train.tar")
        with socket.create_server(("127.0.0.1", 0)) as closed:
            nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert not sources._reachable(nobody)
        monkeypatch.setenv("no_proxy", "")
        assert sources._reachable(nobody)
    assert not sources._reachable("http://example.org/train.tar")


# Folders


def save(image, *path):
    file = pathlib.Path(*path)
    file.parent.mkdir(parents=True, exist_ok=True)
    image.save(file)


def test_folder_with_splits_and_classes(tmp_path):
    for i, path in enumerate(["train/b/2.png", "train/b/1.PNG", "train/c/1.png", "test/a/1.png"]):
        save(pillow(ramp(4)[i]), tmp_path, path)
    (tmp_path / "train" / "b" / "notes.txt").write_text("no image")
    (tmp_path / "train" / "b" / "._1.png").write_text("what another system leaves behind")
    train = data.load("folder", "train", data_dir=tmp_path, labels=True)
    assert (train.shape, train.levels, train.classes) == ((4, 6, 1), 256, 3)
    assert train.description == f"{tmp_path.name} train"
    read = everything(train)
    assert np.array_equal(read["image"], ramp(4)[[1, 0, 2]])
    assert read["label"].tolist() == [1, 1, 2]  # a, which only test has, is 0
    assert everything(data.load("folder", "test", data_dir=tmp_path, labels=True))["label"].tolist() == [0]
    assert everything(data.load("folder", "train[1:]", data_dir=tmp_path))["image"].tolist() == ramp(4)[[0, 2]].tolist()
    assert len(data.load("folder", "all", data_dir=tmp_path)) == 4
    with pytest.raises(InputError, match='no split "validation", but has all, test, train'):
        data.load("folder", "validation", data_dir=tmp_path)


def test_a_split_in_colour_makes_all_of_them_so(tmp_path):
    save(pillow(ramp(1, channels=3)[0]), tmp_path, "train/1.png")
    save(pillow(ramp(1)[0]), tmp_path, "test/1.png")
    assert [data.load("folder", split, data_dir=tmp_path).shape for split in ("train", "test")] == [(4, 6, 3)] * 2


def test_folders_that_are_links_or_hidden(tmp_path):
    save(pillow(ramp(1)[0]), tmp_path, "all", "cats", "1.png")
    save(pillow(ramp(2)[1]), tmp_path, "elsewhere", "1.png")
    (tmp_path / "all/dogs").symlink_to(tmp_path / "elsewhere")
    save(pillow(ramp(1)[0]), tmp_path, "all", ".ipynb_checkpoints", "1.png")
    save(pillow(ramp(1)[0]), tmp_path, "all", "cats", ".ipynb_checkpoints", "2.png")
    (tmp_path / "all/cats/3.png").mkdir()
    images = data.load("folder", "all", data_dir=tmp_path / "all", labels=True)
    assert images.labels().tolist() == [0, 1]
    assert np.array_equal(everything(images)["image"], ramp(2))
    (tmp_path / "elsewhere/around").symlink_to(tmp_path / "all")
    with pytest.raises(InputError, match="is a link to a folder that it lies in"):
        data.load("folder", "all", data_dir=tmp_path / "all", labels=True)


def test_plain_folder(tmp_path):
    save(pillow(ramp(2)[0]), tmp_path, "x.png")
    save(pillow(ramp(2)[1]), tmp_path, "deep", "er", "y.png")
    assert np.array_equal(everything(data.load("folder", "all", data_dir=tmp_path))["image"], ramp(2)[::-1])
    with pytest.raises(InputError, match="must lie in a folder named after its class"):
        data.load("folder", "all", data_dir=tmp_path, labels=True)


def test_plain_folder_of_classes(tmp_path):
    for i, path in enumerate(["dog/1.png", "cat/x/1.png", "cat/1.png"]):
        save(pillow(ramp(3)[i]), tmp_path, path)
    images = data.load("folder", "all", data_dir=tmp_path, labels=True)
    assert images.classes == 2
    assert everything(images)["label"].tolist() == [0, 0, 1]


def test_folder_is_looked_at_file_by_file(tmp_path):
    for i in range(300):
        PIL.Image.new("L", (6, 5 if i == 299 else 4)).save(tmp_path / f"{i:03}.png")
    with pytest.raises(InputError, match=r"000\.png is 4x6x1 and .*299\.png is 5x6x1: set resize"):
        data.load("folder", "all", data_dir=tmp_path)


def test_folder_is_decoded_into_memory(tmp_path):
    save(pillow(ramp(1)[0]), tmp_path, "x.png")
    images = data.load("folder", "all", data_dir=tmp_path)
    (tmp_path / "x.png").unlink()
    assert np.array_equal(everything(images)["image"], ramp(1))


@pytest.mark.parametrize(
    ("mode", "colour", "pixel"),
    [
        ("1", 1, [255]),
        ("L", 7, [7]),
        ("LA", (7, 0), [7]),
        ("RGB", (1, 2, 3), [1, 2, 3]),
        ("RGBA", (1, 2, 3, 0), [1, 2, 3]),
    ],
)
def test_folder_of_any_kind_of_image(tmp_path, mode, colour, pixel):
    save(PIL.Image.new(mode, (6, 4), colour), tmp_path, "a.png")
    images = everything(data.load("folder", "all", data_dir=tmp_path))["image"]
    assert np.array_equal(images, np.broadcast_to(pixel, (1, 4, 6, len(pixel))))
    save(PIL.Image.new("RGB", (6, 4), (4, 5, 6)), tmp_path, "b.png")  # then all of them are colours
    images = everything(data.load("folder", "all", data_dir=tmp_path))["image"]
    assert (
        images == np.array([pixel * (4 - len(pixel)) if len(pixel) == 1 else pixel, [4, 5, 6]])[:, None, None]
    ).all()


def test_folder_of_transparent_palettes(tmp_path):
    image = PIL.Image.new("P", (6, 4), 1)
    image.putpalette([0, 0, 0, 1, 2, 3])
    image.save(tmp_path / "a.png", transparency=b"\x00\x80")
    assert (everything(data.load("folder", "all", data_dir=tmp_path))["image"] == [1, 2, 3]).all()


def test_folder_of_photographs_taken_sideways(tmp_path):
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # orientation: turn clockwise
    pillow(ramp(1)[0]).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(
        everything(data.load("folder", "all", data_dir=tmp_path))["image"][0], np.rot90(ramp(1)[0], -1)
    )


def colours_of_16_bits():
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    pixels = zlib.compress((b"\0" + b"\1\2" * 3 * 6) * 4)
    header = struct.pack(">IIBBBBB", 6, 4, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def encoded(image, file_format, **options):
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def test_folders_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="data_dir=None must be a folder"):
        data.load("folder", "all")
    with pytest.raises(InputError, match="nowhere must be a folder"):
        data.load("folder", "all", data_dir=tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no images"):
        data.load("folder", "all", data_dir=tmp_path)
    save(pillow(ramp(1)[0]), tmp_path, "a.png")
    save(pillow(ramp(1, width=5)[0]), tmp_path, "b.png")
    with pytest.raises(InputError, match=r"a\.png is 4x6x1 and .*b\.png is 4x5x1: set resize"):
        data.load("folder", "all", data_dir=tmp_path)
    assert len(data.load("folder", "all", data_dir=tmp_path, resize=3)) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no image", "cannot be read"),
        (encoded(pillow(ramp(1)[0]), "png")[:-20], "cannot be read"),
        (colours_of_16_bits(), "more than 8 bits"),
        (encoded(PIL.Image.new("I;16", (6, 4)), "png"), "more than 8 bits"),
        (encoded(PIL.Image.new("F", (6, 4)), "tiff"), "more than 8 bits"),
        (b"P3 6 4 65535 " + 72 * b"300 ", "more than 8 bits"),
        (b"P6 6 4 300 " + 72 * b"\1\2", "more than 8 bits"),
        (
            encoded(PIL.Image.new("L", (6, 4)), "gif", save_all=True, append_images=[PIL.Image.new("L", (6, 4), 9)]),
            "several",
        ),
    ],
)
def test_files_that_cannot_be_read(tmp_path, content, message):
    save(pillow(ramp(1)[0]), tmp_path, "a.png")
    (tmp_path / "b.png").write_bytes(content)
    with pytest.raises(InputError, match=rf"b\.png.* {message}"):
        data.load("folder", "all", data_dir=tmp_path)


def test_a_folder_that_may_not_be_read_is_told(tmp_path, monkeypatch):
    save(pillow(ramp(1)[0]), tmp_path, "a", "1.png")
    save(pillow(ramp(1)[0]), tmp_path, "b", "1.png")
    original = os.scandir

    def guarded(place):
        if str(place).endswith("a"):
            raise PermissionError(errno.EACCES, "Permission denied", str(place))
        return original(place)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.raises(InputError, match="a cannot be read: Permission denied"):
        data.load("folder", "all", data_dir=tmp_path, labels=True)


def test_files_of_fewer_levels(tmp_path):
    for name, content in (("a.ppm", b"P3 1 1 100 0 50 100"), ("b.ppm", b"P6 1 1 100 \0\x32\x64")):
        (tmp_path / name).write_bytes(content)
    images = everything(data.load("folder", "all", data_dir=tmp_path))["image"]
    assert images.reshape(2, 3).tolist() == 2 * [[0, 128, 255]]


# Preparation


def test_arrays():
    images, labels = ramp(5), np.array([0, 2, 1, 0, 2])
    read = data.from_array(images, labels, levels=256, description="ramps")
    assert (read.shape, read.levels, read.classes, read.description) == ((4, 6, 1), 256, 3, "ramps")
    assert same(everything(read), {"image": images, "label": labels, "mask": np.ones(5, bool)})
    assert np.array_equal(everything(data.from_array(images[..., 0], levels=256))["image"], images)
    deep = images.astype(np.int64) * 200
    assert np.array_equal(everything(data.from_array(deep, levels=2**16))["image"], deep)
    binary = data.from_array(images > 99, levels=256)
    assert binary.levels == 2
    assert np.array_equal(everything(binary)["image"], images > 99)
    assert data.from_array(images, labels, levels=256, classes=7).classes == 7


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((3, 4)), None, "shape is"),
        (np.zeros((0, 4, 4), int), None, "shape is"),
        (np.zeros((3, 4, 4)), None, "integers 0 .. 15, not float64"),
        (np.full((3, 4, 4), -1), None, "hold -1 .. -1, not 0 .. 15"),
        (np.full((3, 4, 4), 16), None, "hold 16 .. 16, not 0 .. 15"),
        (np.zeros((3, 4, 4), int), np.zeros(4, int), "integers"),
        (np.zeros((3, 4, 4), int), np.zeros(3), "integers"),
        (np.zeros((3, 4, 4), int), np.array([0, -1, 1]), "-1 .. 1"),
        (np.zeros((3, 4, 4), int), np.array([0, 5, 1]), "0 .. 5, not 0 .. 3"),
    ],
)
def test_arrays_that_are_no_images(images, labels, message):
    with pytest.raises(InputError, match=message):
        data.from_array(images, labels, levels=16, classes=4)


def test_resizing_takes_the_mean_of_the_centre():
    image = ramp(1, height=6, width=12, channels=5)
    halved = data.from_array(image, levels=256, resize=3)
    means = image[0, :, 3:9].reshape(3, 2, 3, 2, 5).mean((1, 3))
    assert np.abs(everything(halved)["image"][0] - means).max() <= 0.5
    assert halved.description == "array, resized to 3x3"
    wide = data.from_array(image[:, :4], levels=256, resize=(1, 6))
    assert np.abs(everything(wide)["image"][0, 0] - image[0, 1:3].reshape(2, 6, 2, 5).mean((0, 2))).max() <= 0.5
    enlarged = everything(data.from_array(image, levels=256, resize=(12, 24)))["image"][0]
    assert np.array_equal(enlarged, image[0].repeat(2, 0).repeat(2, 1))


def test_grey_is_the_luma_of_pillow():
    colours = np.random.default_rng(0).integers(0, 256, (3, 128, 128, 3), np.uint8)
    grey = data.from_array(colours, levels=256, grey=True)
    assert (grey.shape, grey.description) == ((128, 128, 1), "array, grey")
    pillows = [np.asarray(PIL.Image.fromarray(image).convert("L")) for image in colours]
    assert np.array_equal(everything(grey)["image"][..., 0], pillows)
    assert data.from_array(colours[..., :1], levels=256, grey=True).shape == (128, 128, 1)
    with pytest.raises(InputError, match="2 channels cannot be turned grey"):
        data.from_array(colours[..., :2], levels=256, grey=True)


def test_fewer_bits():
    images = data.from_array(ramp(3), levels=256, bits=3)
    assert (images.levels, images.description) == (8, "array, reduced to 3 bits")
    assert np.array_equal(everything(images)["image"], ramp(3) // 32)


@pytest.mark.parametrize(("levels", "threshold"), [(256, 128), (17, 9)])
def test_binarising_at_a_threshold(levels, threshold):
    pixels = ramp(3).astype(int) % levels
    images = data.from_array(pixels, levels=levels, binarize="threshold")
    assert (images.levels, images.description) == (2, f"array, binarised at {threshold}")
    assert np.array_equal(everything(images)["image"], pixels >= threshold)


def test_binarising_at_random():
    """Value v is 1 with probability v/16: over 400 draws of 64 pixels each, within 5 standard deviations."""
    values = np.arange(17)
    pixels = np.tile(values[:, None, None], (1, 8, 8))
    images = data.from_array(pixels, values, levels=17, binarize="dynamic")
    assert (images.levels, images.description) == (2, "array, binarised at random")
    batches = data.training_batches(images, batch_size=17, seed=0)
    draws = np.stack([batch["image"][np.argsort(batch["label"])] for batch in (batches[k] for k in range(400))])
    assert np.isin(draws, [0, 1]).all()
    p = values / 16
    assert (np.abs(draws.mean((0, 2, 3, 4)) - p) <= 5 * np.sqrt(p * (1 - p) / (400 * 64))).all()
    assert not np.array_equal(draws[0], draws[1])  # anew in each epoch
    evaluated = everything(images)["image"]
    assert np.array_equal(evaluated, everything(images)["image"])  # but not here
    assert 0 < evaluated[8].mean() < 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"binarize": "random"}, 'must be "none", "threshold" or "dynamic"'),
        ({"bits": 0}, "must be 1 .. 8"),
        ({"bits": 9}, "must be 1 .. 8"),
        ({"bits": 3, "binarize": "threshold"}, "not binarised as well"),
        ({"bits": 5, "levels": 31}, "levels=31 must be at least 32"),
        ({"binarize": "dynamic", "levels": 1}, "levels=1 must be at least 2"),
        ({"levels": 200}, "tiny 1.0.0 train holds the value 25[0-5], which is not below levels=200"),
        ({"resize": 0}, "at least one pixel"),
    ],
)
def test_options_that_cannot_be_had(tiny, options, message):
    with pytest.raises(InputError, match=message):
        data.load("tiny", "train", data_dir=tiny, **options)


def test_bits_are_for_8_bit_images():
    with pytest.raises(InputError, match="8-bit"):
        data.load("digits", "train", bits=3)


@pytest.mark.parametrize("binarize", ["threshold", "dynamic"])
def test_binary_images_are_not_binarised(binarize):
    with pytest.raises(InputError, match="if it is of 0 and 1 already, leave binarize out, and set levels=2"):
        data.from_array(ramp(3) % 2, levels=256, binarize=binarize)


# Batches


@pytest.fixture(scope="module")
def ramps():
    return data.from_array(ramp(10), np.arange(10), levels=256)


def test_batch_is_a_function_of_step_and_seed(ramps):
    one, other = (data.training_batches(ramps, batch_size=4, seed=3, flip=True, shift=1) for _ in range(2))
    backwards = {k: other[k] for k in reversed(range(8))}
    assert all(same(one[k], backwards[k]) for k in range(8))
    seeded = data.training_batches(ramps, batch_size=4, seed=4)
    assert any(not np.array_equal(one[k]["label"], seeded[k]["label"]) for k in range(8))
    assert one[0]["image"].dtype == one[0]["label"].dtype == np.int32
    assert one[0]["image"].shape == (4, 4, 6, 1)


def test_every_epoch_has_every_image_in_another_order(ramps):
    batches = data.training_batches(ramps, batch_size=4, seed=0)
    labels = np.concatenate([batches[k]["label"] for k in range(10)]).reshape(4, 10)
    assert (np.sort(labels) == np.arange(10)).all()
    assert len(np.unique(labels, axis=0)) == 4
    assert all(np.array_equal(batches[k]["image"], ramp(10)[batches[k]["label"]]) for k in range(10))


def test_order_does_not_depend_on_augmentation(ramps):
    plain, other = (data.training_batches(ramps, batch_size=4, seed=0, **o) for o in ({}, {"flip": True, "shift": 2}))
    assert all(np.array_equal(plain[k]["label"], other[k]["label"]) for k in range(5))


@pytest.mark.parametrize("batch_size", [1, 7, 25])
def test_any_batch_size(ramps, batch_size):
    batches = data.training_batches(ramps, batch_size=batch_size, seed=0)
    labels = np.concatenate([batches[k]["label"] for k in range(50)])
    assert len(labels) == 50 * batch_size
    assert (np.sort(labels[:10]) == np.arange(10)).all()
    assert len(batches[10**9]["label"]) == batch_size
    one = data.training_batches(data.from_array(ramp(1), levels=256), batch_size=batch_size, seed=0)
    assert len(one[0]["image"]) == batch_size


def test_processes_share_the_batch(ramps):
    options = {"seed": 5, "flip": True, "shift": 1}
    whole = data.training_batches(ramps, batch_size=6, **options)
    parts = [data.training_batches(ramps, batch_size=6, process_index=p, process_count=3, **options) for p in range(3)]
    for k in range(9):
        shares = [part[k] for part in parts]
        assert same(whole[k], {key: np.concatenate([share[key] for share in shares]) for key in whole[k]})


@pytest.mark.parametrize(("batch_size", "process_count"), [(6, 4), (0, 1)])
def test_processes_cannot_share_the_batch(ramps, batch_size, process_count):
    with pytest.raises(InputError, match=f"batch_size={batch_size} must be a positive multiple of the {process_count}"):
        data.training_batches(ramps, batch_size=batch_size, seed=0, process_count=process_count)


@pytest.mark.parametrize("options", [{"seed": -1}, {"seed": 0, "shift": -1}])
def test_negative_numbers(ramps, options):
    with pytest.raises(InputError, match="must not be negative"):
        data.training_batches(ramps, batch_size=4, **options)


def test_evaluation_needs_a_batch(ramps):
    with pytest.raises(InputError, match="must be positive"):
        data.evaluation_batches(ramps, batch_size=0)


def test_flips_are_even_and_drawn_anew(ramps):
    batches = data.training_batches(ramps, batch_size=10, seed=0, flip=True)
    flipped = np.zeros((100, 10), bool)
    for k in range(100):
        images, originals = batches[k]["image"], ramp(10)[batches[k]["label"]]
        mirrored = (images == originals[:, :, ::-1]).all((1, 2, 3))
        assert (mirrored | (images == originals).all((1, 2, 3))).all()
        flipped[k, batches[k]["label"]] = mirrored
    assert 400 < flipped.sum() < 600
    assert ((flipped.sum(0) > 25) & (flipped.sum(0) < 75)).all()
    assert len(np.unique(flipped, axis=0)) > 80


def test_shifts_are_even_and_over_zeros(ramps):
    pixels = ramp(10) // 2 + 1  # none is zero
    batches = data.training_batches(data.from_array(pixels, np.arange(10), levels=256), batch_size=10, seed=0, shift=1)
    offsets = list(itertools.product((0, 1, 2), repeat=2))
    bordered = np.pad(pixels, ((0, 0), (1, 1), (1, 1), (0, 0)))
    counts = np.zeros(9, int)
    for k in range(90):
        originals = bordered[batches[k]["label"]]
        counts += [(batches[k]["image"] == originals[:, y : y + 4, x : x + 6]).all((1, 2, 3)).sum() for y, x in offsets]
    assert counts.sum() == 900
    assert counts.min() > 60


def test_reading_ahead_gives_the_same_batches(ramps):
    batches = data.training_batches(ramps, batch_size=4, seed=0, process_index=1, process_count=2)
    ahead = data.read_ahead(batches, start=5)
    assert all(same(batch, batches[k]) for k, batch in zip(range(5, 25), ahead, strict=False))


def test_evaluation_masks_the_padding(ramps):
    batches = list(data.evaluation_batches(ramps, batch_size=4))
    assert [batch["mask"].tolist() for batch in batches] == [[True] * 4, [True] * 4, [True, True, False, False]]
    assert [batch["label"].tolist() for batch in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 9, 9]]
    assert all(np.array_equal(batch["image"], ramp(10)[batch["label"]]) for batch in batches)
    assert [len(batch["mask"]) for batch in data.evaluation_batches(ramps, batch_size=5)] == [5, 5]


def test_batches_are_checked_when_read(ramps):
    """`load` looks at some images only."""
    dim = dataclasses.replace(ramps, levels=200)
    with pytest.raises(InputError, match="which is not below levels=200"):
        list(itertools.islice(data.read_ahead(data.training_batches(dim, batch_size=4, seed=0)), 3))
    with pytest.raises(InputError, match="which is not below levels=200"):
        list(data.evaluation_batches(dim, batch_size=4))
    with pytest.raises(InputError, match=r"differ in size.*set resize"):
        next(data.evaluation_batches(dataclasses.replace(ramps, shape=(4, 5, 1)), batch_size=4))


def test_tfds_set_with_damaged_description(tiny, tmp_path):
    import shutil

    shutil.copytree(tiny, tmp_path / "copy")
    (info,) = (tmp_path / "copy").rglob("dataset_info.json")
    info.write_text(info.read_text()[:40])
    with pytest.raises(InputError, match=r"What describes tiny .* is damaged"):
        data.load("tiny", "train", data_dir=tmp_path / "copy")


# Some classes only


def test_splits_of_some_classes_of_the_digits():
    target = load_digits().target[:1000]
    for split, wanted in (
        ("train where label is 3", target == 3),
        ("train where label is 3 or 5", (target == 3) | (target == 5)),
        ("train where label is below 4", target < 4),
        ("train where label is at least 8", target >= 8),
    ):
        images = data.load("digits", split, labels=True)
        assert np.array_equal(images.labels(), target[wanted])
        assert np.array_equal(everything(images)["image"][..., 0], load_digits().images[:1000][wanted])
        assert images.classes == 10
    images = data.load("digits", "train where label is 3[10:20]")  # the part is of those that are left
    assert np.array_equal(everything(images)["image"][..., 0], load_digits().images[:1000][target == 3][10:20])


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("train where label is 11", "No image of train has a label that is 11"),
        ("train where colour is red", "has no colour, but a label"),
        ("train where label is below three", "must say which number"),
        ("train where label", 'no split "train where label"'),
    ],
)
def test_classes_that_cannot_be_had(split, message):
    with pytest.raises(InputError, match=message):
        data.load("digits", split)


def test_tfds_splits_by_any_class_and_by_texts(tmp_path):
    import tensorflow_datasets as tfds

    features = {
        "image": tfds.features.Image(shape=(4, 6, 1)),
        "label": tfds.features.Text(),
        "alphabet": tfds.features.ClassLabel(names=["greek", "latin"]),
        "number": tfds.features.Scalar(np.int64),
    }
    people = ["ann", "bob", "cy", "ann", "dee", "bob"]
    examples = [
        {"image": pillow(image), "label": person, "alphabet": i % 2, "number": i}
        for i, (image, person) in enumerate(zip(ramp(6), people, strict=True))
    ]
    prepare(tmp_path, {"train": examples[:4], "test": examples[4:]}, features)

    def load(split):
        return data.load("tiny", split, data_dir=tmp_path, labels=True)

    # The texts of all splits together are the classes, so that a class means the same in each.
    assert load("train").classes == load("test").classes == 4
    assert load("train").labels().tolist() == [0, 1, 2, 0]
    assert load("test").labels().tolist() == [3, 1]
    assert load("train where label is ann").labels().tolist() == [0, 0]
    assert load("train where label is at least 1").labels().tolist() == [1, 2]
    latin = load("train where alphabet is latin")
    assert np.array_equal(everything(latin)["image"], ramp(6)[[1, 3]])
    assert np.array_equal(everything(load("train where alphabet is 0[1:]"))["image"], ramp(6)[[2]])
    with pytest.raises(InputError, match="no classes called number, but alphabet, label"):
        load("train where number is 1")


def test_folder_of_some_classes(tmp_path):
    for number, name in enumerate(["a", "b", "b", "c"]):
        save(pillow(ramp(4)[number]), tmp_path, "train", name, f"{number}.png")
    images = data.load("folder", "train where label is b or c", data_dir=tmp_path, labels=True)
    assert images.labels().tolist() == [1, 1, 2]
    assert np.array_equal(everything(images)["image"], ramp(4)[1:])
    save(pillow(ramp(5)[4]), tmp_path, "train", "b or c", "4.png")
    images = data.load("folder", "train where label is b or c", data_dir=tmp_path, labels=True)
    assert np.array_equal(everything(images)["image"], ramp(5)[4:])


def test_classmates_follow_one_another():
    labels = np.array([0] * 5 + [1] * 4 + [2] * 3)
    images = data.from_array(ramp(12), labels, levels=256)
    batches = data.training_batches(images, batch_size=12, seed=3, per_class=2)
    orders = []
    for epoch in range(3):
        batch = batches[epoch]
        assert sorted(batch["image"][:, 0, 0, 0]) == sorted(ramp(12)[:, 0, 0, 0])  # each once
        orders.append(batch["image"][:, 0, 0, 0].tolist())
        pairs = np.sum(batch["label"][1:] == batch["label"][:-1])
        assert pairs >= 2 + 2 + 1
    assert orders[0] != orders[1] != orders[2]
    with pytest.raises(InputError, match="needs class labels"):
        data.training_batches(data.from_array(ramp(12), levels=256), batch_size=4, seed=0, per_class=2)


def test_a_name_is_a_name_before_it_is_an_index(tmp_path):
    for number in range(12):
        save(pillow(ramp(12)[number]), tmp_path, "train", str(number), "a.png")
    images = data.load("folder", "train where label is 2", data_dir=tmp_path, labels=True)
    assert np.array_equal(everything(images)["image"], ramp(12)[2:3])  # not that of "10", the class of index 2


def test_some_are_of_all_classes():
    images = data.from_array(ramp(100), np.arange(100) // 10, levels=256)
    few = images.some(20)
    assert np.array_equal(np.unique(few.labels(), return_counts=True)[1], [2] * 10)
    assert np.array_equal(everything(few)["image"], ramp(100)[::5])
    assert images.some(100) is images
    assert np.array_equal(data.some_images(images.some(3), 5)[:, 0, 0, 0], ramp(100)[[0, 33, 66, 0, 33], 0, 0, 0])
    with pytest.raises(data.NoImagesError):
        data.some_images(data.no_images((4, 6, 1), levels=256, classes=None), 3)


def test_tfds_labels_that_are_missing(tmp_path):
    import tensorflow_datasets as tfds

    features = {"image": tfds.features.Image(shape=(4, 6, 1)), "label": tfds.features.ClassLabel(names=["a", "b"])}
    examples = [{"image": pillow(image), "label": label} for image, label in zip(ramp(3), [0, -1, 1], strict=True)]
    prepare(tmp_path, {"train": examples}, features)
    with pytest.raises(InputError, match=r"holds labels that are not 0 \.\. 1"):
        data.load("tiny", "train", data_dir=tmp_path, labels=True)  # before anything of it is used
    for split, row in (("train where label is b", 2), ("train where label is below 1", 0)):
        images = data.load("tiny", split, data_dir=tmp_path, labels=True)
        assert np.array_equal(everything(images)["image"], ramp(3)[[row]])


def test_inverting():
    images = data.from_array(ramp(3), levels=256, invert=True)
    assert np.array_equal(everything(images)["image"], 255 - ramp(3).astype(int))
    assert images.description == "array, inverted"
    few = data.from_array(np.arange(5).reshape(5, 1, 1), levels=5, invert=True)
    assert everything(few)["image"].ravel().tolist() == [4, 3, 2, 1, 0]
    black = data.from_array(ramp(3), levels=256, invert=True, binarize="threshold")
    assert np.array_equal(everything(black)["image"], 255 - ramp(3).astype(int) >= 128)


def test_a_row_is_decoded_once_however_many_read_it():
    decoded = []

    def slowly(rows):
        decoded.extend(rows)
        time.sleep(0.05)
        return [{"image": np.full((2, 2, 1), row % 256, np.uint8)} for row in rows]

    source = sources.Source("made here", range(96), slowly, block=16)
    options = dict(levels=256, bits=None, binarize="none", resize=None, grey=False, invert=False)
    images = data._prepare(source, **options)
    decoded.clear()  # of the images that were looked at, one by one
    read = [int(example["image"][0, 0, 0]) for example in images.examples]  # by many threads of grain's
    assert read == list(range(96))
    assert sorted(decoded) == list(range(96))
