"""TFDS image data sets, prepared as array_record and read without TensorFlow."""

import difflib
import functools
import io
import json
import pathlib
import re
import shlex
from collections.abc import Iterator
from typing import Any

import numpy as np

from pixelcnn_jax.data.image_files import decode
from pixelcnn_jax.data.source import Example, Source
from pixelcnn_jax.data.splits import Classes, Split
from pixelcnn_jax.foundation.errors import InputError, first_line
from pixelcnn_jax.foundation.files import interpreter

FEATURES = "tensorflow_datasets.core.features."  # where TFDS keeps its classes of features
RETRIES = 3  # of a download; TFDS's own 10 take minutes on a machine without network


@functools.cache
def _tfds() -> Any:
    import tensorflow_datasets
    from tensorflow_datasets.core.download import downloader

    downloader.MAX_RETRIES = RETRIES
    return tensorflow_datasets


def read_tfds(name: str, split: Split, *, data_dir: str | None, labels: bool, download: bool) -> Source:
    """Reads a split of a data set prepared below ``data_dir``.

    Raises:
      InputError: for missing or damaged data, split, images or labels.
    """
    root = _root(data_dir)
    folder = _find_prepared(name, root) or _download(name, root, allowed=download)
    remedy = f"move it away and prepare it again, {_command(name, root)}"
    builder = _open(folder, remedy)
    features, splits = builder.info.features, builder.info.splits
    split.check_name(name, [split_name for split_name, info in splits.items() if info.num_examples])
    images = _features_of(features, "Image")
    key, class_features = _image_feature(name, features, labels=labels), _features_of(features, "ClassLabel")
    colour = _channels(features[key]) == 3
    # TFDS may use OpenCV, which decodes some JPEGs differently.
    source = builder.as_data_source(split.name, decoders=dict.fromkeys(images, _tfds().decode.SkipDecoding()))

    def record(row: int) -> dict[str, Any]:
        try:
            return dict(source[row])
        except RuntimeError as error:  # array_record's exception for a file that is damaged or missing
            raise InputError(f"{folder} is damaged, {error}: {remedy}.") from error

    def classes(feature: str) -> Classes:
        return [int(record(row)[feature]) for row in range(len(source))], features[feature].names

    def read(row: int) -> Example:
        stored = record(row)
        label = {"label": np.int32(stored["label"])} if labels else {}
        image = decode(io.BytesIO(stored[key]), colour=colour, name=f"Record {row} of {title} {split.name}")
        return {"image": image} | label

    title = f"{name.partition(':')[0]} {folder.name}"
    rows = split.rows(len(source), {name: functools.partial(classes, name) for name in class_features})
    return Source(title, rows, read, classes=features["label"].num_classes if labels else None, stored=split.name)


def stand_in(name: str, *, labels: bool, levels: int) -> Source:
    """Makes one random image of the size that TFDS knows, without the data; an error if it knows none."""
    _check_known(name)
    features = _tfds().builder(name).info.features
    feature = features[_image_feature(name, features, labels=labels)]
    height, width, _ = feature.shape
    if height is None and (size := re.search(r"/(\d+)x(\d+)", name)):  # the name of some sets has the size
        height, width = map(int, size.groups())
    if height is None or width is None:
        raise InputError(f"TFDS does not know the size of the images of {name}: prepare the data set first.")
    shape = height, width, _channels(feature)
    image = np.random.default_rng(0).integers(min(levels, 256), size=shape, dtype=np.uint8)
    label = {"label": np.int32(0)} if labels else {}
    classes = features["label"].num_classes if labels else None
    return Source(name, range(1), lambda _: {"image": image} | label, classes=classes)


def is_prepared(name: str, data_dir: str | None) -> bool:
    """Whether a data set is below ``data_dir``."""
    return _find_prepared(name, _root(data_dir)) is not None


def _root(data_dir: str | None) -> pathlib.Path:
    return pathlib.Path(data_dir or _tfds().core.constants.DATA_DIR).expanduser()


def _features_of(features: Any, kind: str) -> list[str]:
    return [name for name in features if type(features[name]) is getattr(_tfds().features, kind)]


def _image_feature(name: str, features: Any, *, labels: bool) -> str:
    """Finds the image feature and checks for labels."""
    # TFDS stores floats as the bytes of a picture of four channels.
    images = [name for name in _features_of(features, "Image") if features[name].np_dtype != np.float32]
    key = images[0] if len(images) == 1 else "image"
    if key not in images or (labels and "label" not in _features_of(features, "ClassLabel")):
        kind = "image of integers with a label" if labels else "image of integers"
        raise InputError(f"{name} has no {kind} among its features, {', '.join(sorted(features))}.")
    return key


def _channels(feature: Any) -> int:
    return 1 if feature.shape[-1] in (1, 2) else 3  # grey, with transparency


def _open(folder: pathlib.Path, remedy: str) -> Any:
    """Opens the builder of a prepared data set, without importing modules of classes that are not TFDS's."""
    try:
        for name in _named_classes(json.loads((folder / "features.json").read_text())):
            if not name.startswith(FEATURES):
                raise ValueError(f"its features.json names the class {name}")
        builder = _tfds().builder_from_directory(folder)
        if builder.info.file_format is not _tfds().core.FileFormat.ARRAY_RECORD:
            raise ValueError(f"its format is {builder.info.file_format}")
    except Exception as error:  # protobuf, json and TFDS raise several types for a damaged file
        raise InputError(f"{folder} must be an array_record of TFDS, {first_line(error)}: {remedy}.") from error
    return builder


def _named_classes(description: Any) -> Iterator[str]:
    """Yields the classes in a features.json, which may nest JSON."""
    if isinstance(description, list):
        description = dict(enumerate(description))
    for key, value in description.items() if isinstance(description, dict) else ():
        if key in ("type", "python_class_name", "pythonClassName") and isinstance(value, str):
            yield value
        yield from _named_classes(json.loads(value) if key in ("json", "content") and isinstance(value, str) else value)


def _find_prepared(name: str, root: pathlib.Path) -> pathlib.Path | None:
    """Finds DIR/NAME[/CONFIG]/VERSION, by default the newest version."""
    if not re.fullmatch(r"\w[\w.+-]*(/\w[\w.+-]*)*(:[\d.*]*)?", name):
        raise InputError(f"dataset={name} must be a name such as mnist:3.0.1 or lsun/church, not a path.")
    name, _, version = name.partition(":")
    prepared = [file.parent for file in (root / name).glob(f"{version or '*'}/dataset_info.json")]
    folders = [folder for folder in prepared if re.fullmatch(r"\d+\.\d+\.\d+", folder.name)]
    if not folders and "/" not in name and any((root / name).glob("*/*/dataset_info.json")):
        _check_known(name)
        return _find_prepared(f"{name}/{_tfds().builder(name).builder_config.name}:{version}", root)
    return max(folders, key=lambda folder: [int(number) for number in folder.name.split(".")], default=None)


def _command(name: str, root: pathlib.Path) -> str:
    code = f"import tensorflow_datasets as tfds; tfds.data_source({name!r}, data_dir={str(root)!r})"
    return shlex.join([interpreter(), "-c", code])


def _check_known(name: str) -> None:
    plain = re.split("[/:]", name)[0]
    builders = _tfds().list_builders(with_community_datasets=False)  # those of the community need the network
    if plain not in builders:
        close = difflib.get_close_matches(plain, [*builders, "digits", "folder", "array"]) or ["digits", "mnist"]
        raise InputError(f'dataset="{plain}" is unknown: did you mean {" or ".join(close)}?')


def _download(name: str, root: pathlib.Path, *, allowed: bool) -> pathlib.Path:
    _check_known(name)
    if not allowed:
        raise InputError(f"{name} is not prepared in {root}: set data_dir, or prepare it by {_command(name, root)}")
    try:
        builder = _tfds().builder(name, data_dir=root, file_format="array_record")
        builder.download_and_prepare()
    except Exception as error:  # TFDS's scripts for data sets raise many types
        raise InputError(f"TFDS could not download and prepare {name} in {root}: {first_line(error)}") from error
    return pathlib.Path(builder.data_dir)
