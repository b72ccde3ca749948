"""The image data sets of TensorFlow Datasets (TFDS), prepared as array_record and read without TensorFlow.

TFDS itself is imported when such a data set is read, because that takes seconds.
"""

import difflib
import functools
import io
import json
import pathlib
import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from pixelcnn_jax.data.image_files import decode
from pixelcnn_jax.data.source import Example, Source
from pixelcnn_jax.data.splits import Classes, Split
from pixelcnn_jax.foundation.errors import InputError, first_line
from pixelcnn_jax.foundation.files import interpreter

BLOCK = 64  # records read together: a sixth of the time of one after the other
FEATURES = "tensorflow_datasets.core.features."  # where TFDS keeps its classes of features
RETRIES = 3  # of a download; TFDS's own 10 take minutes on a machine without network


@functools.cache
def _tfds() -> Any:
    import tensorflow_datasets
    from tensorflow_datasets.core.download import downloader

    downloader.MAX_RETRIES = RETRIES
    return tensorflow_datasets


def read_tfds(name: str, split: Split, *, data_dir: str | None, labels: bool, download: bool) -> Source:
    """Returns a split of a data set that lies prepared below ``data_dir``.

    Raises:
      InputError: if the data set is missing or damaged, or has no such split, 8-bit images, or labels.
    """
    root = _root(data_dir)
    folder = _find_prepared(name, root) or _download(name, root, allowed=download)
    remedy = f"move it away and prepare it again, {_command(name, root)}"
    builder = _open(folder, remedy)
    features, stored = builder.info.features, builder.info.splits
    filled = [known for known, described in stored.items() if described.num_examples]
    split.check_name(name, filled)
    _check_labels(name, features, labels=labels)
    key = _image_feature(name, features)
    # Pillow decodes the images: TFDS would use OpenCV where it is installed, whose values differ for some JPEGs.
    decoders = {feature: _tfds().decode.SkipDecoding() for feature in features if _is_image(features[feature])}
    sources = {known: builder.as_data_source(known, decoders=decoders) for known in filled}

    def records(known: str, rows: Sequence[int]) -> list[dict[str, Any]]:
        source = sources[known]
        try:
            # A single record is read faster alone.
            return [source[rows[0]]] if len(rows) == 1 else list(source.__getitems__(rows))
        except RuntimeError as error:  # array_record's exception for a file that is damaged or missing
            raise InputError(f"{folder} is damaged, {error}: {remedy}.") from error

    def values(known: str, feature: str) -> Iterator[Any]:
        rows = range(len(sources[known]))
        for start in rows[::BLOCK]:
            yield from (record[feature] for record in records(known, rows[start : start + BLOCK]))

    @functools.cache
    def numbers(feature: str) -> dict[str, int]:
        """Returns the number of each class; texts of all splits together are classes, so that each has one number."""
        if isinstance(features[feature], _tfds().features.ClassLabel):
            return {name: number for number, name in enumerate(features[feature].names)}
        texts = {_text(value) for known in filled for value in values(known, feature)}
        return {text: number for number, text in enumerate(sorted(texts))}

    def number(feature: str, value: Any) -> int:
        return numbers(feature)[_text(value)] if isinstance(value, str | bytes) else int(value)

    def classes(feature: str) -> Classes:
        return [number(feature, value) for value in values(split.name, feature)], list(numbers(feature))

    def read(rows: Sequence[int]) -> list[Example]:
        return [
            {"image": decode(io.BytesIO(record[key]), colour=_channels(features[key]) == 3)}
            | ({"label": np.int32(number("label", record["label"]))} if labels else {})
            for record in records(split.name, rows)
        ]

    named = {feature: functools.partial(classes, feature) for feature in _class_features(features)}
    rows = split.rows(len(sources[split.name]), named)
    title, count = f"{name.partition(':')[0]} {folder.name}", len(numbers("label")) if labels else None
    return Source(title, rows, read, classes=count, block=BLOCK, stored=split.name)


def describe_tfds(name: str, *, labels: bool) -> tuple[tuple[int, int, int], int | None]:
    """Returns the shape of the images and the number of classes of a data set that need not be prepared.

    Classes that are texts count as one, because only the prepared data set tells how many there are.

    Raises:
      InputError: if TFDS does not know the data set, the size of its images or their labels.
    """
    _check_known(name)
    try:
        features = _tfds().builder(name).info.features
    except Exception as error:  # TFDS's scripts for data sets raise many types
        raise InputError(f"TFDS cannot describe {name}: {first_line(error)}") from error
    feature = features[_image_feature(name, features)]
    _check_labels(name, features, labels=labels)
    height, width, _ = feature.shape
    if height is None and (size := re.search(r"/(\d+)x(\d+)", name)):  # the name of some sets has the size
        height, width = map(int, size.groups())
    if height is None or width is None:
        raise InputError(f"TFDS does not know the size of the images of {name}: prepare it first.")
    classes = getattr(features["label"], "num_classes", 1) if labels else None
    return (height, width, _channels(feature)), classes


def is_prepared(name: str, data_dir: str | None) -> bool:
    """Whether a data set is ready to be read."""
    return _find_prepared(name, _root(data_dir)) is not None


def _root(data_dir: str | None) -> pathlib.Path:
    return pathlib.Path(data_dir or _tfds().core.constants.DATA_DIR).expanduser()


def _open(folder: pathlib.Path, remedy: str) -> Any:
    """Returns the builder of a prepared data set. Raises InputError for one that is damaged or no array_record."""
    try:
        _check_features(folder / "features.json")
        builder = _tfds().builder_from_directory(folder)
        if builder.info.file_format is _tfds().core.FileFormat.ARRAY_RECORD:
            return builder
        error = None
    except InputError:
        raise
    except Exception as raised:  # protobuf, json and TFDS raise several types for a damaged file
        error = raised
    raise InputError(f"{folder} must hold a data set as array_record, and is damaged or none: {remedy}.") from error


def _check_features(file: pathlib.Path) -> None:
    """Raises InputError for a class that is not TFDS's own: its module would be imported."""
    for name in _named_classes(json.loads(file.read_text())):
        if not name.startswith(FEATURES):
            raise InputError(f"{file} names the class {name}, but only features of TFDS are read: prepare other data.")


def _named_classes(description: Any) -> Iterator[str]:
    """Yields the classes in a features.json, whose fields have two spellings and which may hold JSON as a text."""
    if isinstance(description, list):
        description = dict(enumerate(description))
    for key, value in description.items() if isinstance(description, dict) else ():
        if key in ("type", "python_class_name", "pythonClassName") and isinstance(value, str):
            yield value
        yield from _named_classes(json.loads(value) if key in ("json", "content") and isinstance(value, str) else value)


def _is_image(feature: Any) -> bool:
    return type(feature) is _tfds().features.Image


def _image_feature(name: str, features: Any) -> str:
    """Returns the name of the feature that is the image: "image", or the only one."""
    images = [key for key in features if _is_image(features[key])]
    key = "image" if "image" in images or len(images) != 1 else images[0]
    if key not in images or features[key].np_dtype != np.uint8:
        raise InputError(f"{name} has no 8-bit image among its features, {', '.join(sorted(features))}.")
    return key


def _class_features(features: Any) -> list[str]:
    """Returns the features that say by a number or a text which class an image belongs to."""
    return [key for key in features if isinstance(features[key], _tfds().features.ClassLabel | _tfds().features.Text)]


def _check_labels(name: str, features: Any, *, labels: bool) -> None:
    if labels and "label" not in _class_features(features):
        raise InputError(f"{name} has no class labels: set labels=False or choose a different data set.")


def _channels(feature: Any) -> int:
    """Returns the number of channels that are read of an image; transparency is dropped, as it is from files."""
    return 1 if feature.shape[-1] in (1, 2) else 3


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _find_prepared(name: str, root: pathlib.Path) -> pathlib.Path | None:
    """Returns the folder root/NAME[/CONFIG]/VERSION of "NAME[/CONFIG][:VERSION]", by default of the newest version."""
    if not re.fullmatch(r"\w[\w.+-]*(/\w[\w.+-]*)*(:[\d.*]*)?", name):
        raise InputError(f"dataset={name} must be a name such as mnist:3.0.1 or lsun/church, not a path.")
    name, _, version = name.partition(":")
    prepared = [file.parent for file in (root / name).glob(f"{version or '*'}/dataset_info.json")]
    folders = [folder for folder in prepared if re.fullmatch(r"\d+\.\d+\.\d+", folder.name)]
    configs = sorted({file.parents[1].name for file in (root / name).glob("*/*/dataset_info.json")})
    if configs and not folders:
        raise InputError(f"dataset={name} must be one of {', '.join(f'{name}/{config}' for config in configs)}.")
    return max(folders, key=lambda folder: [int(number) for number in folder.name.split(".")], default=None)


def _command(name: str, root: pathlib.Path) -> str:
    code = f"import tensorflow_datasets as tfds; tfds.data_source({name!r}, data_dir={str(root)!r})"
    return shlex.join([interpreter(), "-c", code])


def _check_known(name: str) -> None:
    plain = re.split("[/:]", name)[0]
    known = _tfds().list_builders(with_community_datasets=False)  # those of the community need the network
    if plain not in known:
        local = ["digits", "folder", "array"]
        close = difflib.get_close_matches(plain, [*known, *local]) or [*local, "mnist"]
        raise InputError(f'dataset="{plain}" is unknown: did you mean {" or ".join(close)}?')


def _download(name: str, root: pathlib.Path, *, allowed: bool) -> pathlib.Path:
    _check_known(name)
    if not allowed:
        raise InputError(
            f"{name} is not prepared in {root}: name a different data_dir, or prepare it by {_command(name, root)}"
        )
    try:
        builder = _tfds().builder(name, data_dir=root, file_format="array_record")
        builder.download_and_prepare()
    except Exception as error:  # TFDS's scripts for data sets raise many types
        raise InputError(f"TFDS could not download and prepare {name} in {root}: {first_line(error)}") from error
    return pathlib.Path(builder.data_dir)
