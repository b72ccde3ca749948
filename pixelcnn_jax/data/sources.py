"""Where images come from: scikit-learn's digits, folders, TFDS; a split as it is stored, before any option is applied.

Never imports TensorFlow, and never asks a network unless told to download.
"""

import concurrent.futures
import contextlib
import difflib
import io
import os
import pathlib
import re
import socket
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import PIL.Image
import PIL.ImageFile
import PIL.ImageOps
from jaxtyping import UInt8

from pixelcnn_jax.errors import InputError

Example = dict[str, Any]  # {"image": [height, width, channel]} and, where labels are carried, {"label": int32}

EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff")
DIGITS = {"train": slice(1000), "validation": slice(1000, 1350), "test": slice(1350, None), "all": slice(None)}


class Source(NamedTuple):
    """A split as it is stored."""

    title: str  # e.g. "mnist 3.0.1"
    rows: Sequence[int]  # which make up the split
    read: Callable[[Sequence[int]], list[Example]]  # some rows
    levels: int = 256
    classes: int | None = None
    files: Sequence[pathlib.Path] | None = None  # of each row
    block: int = 1  # how many rows are best read at a time


class Where(NamedTuple):
    """Which images of a split are meant, by one of their features."""

    feature: str  # a class, by its name or index, or a text
    relation: str  # is, is below, is at least
    values: list[str]

    def holds(self, index: int, names: Sequence[str]) -> bool:
        """Whether an image is meant, by the index of its class; a value that names a class means no index."""
        if not 0 <= index < len(names):  # TFDS's -1, of an image without a label
            return False
        if self.relation == "is":
            whole = " or ".join(self.values)  # may be the name of one class
            values = [whole] if whole in names else self.values
            return names[index] in values or (str(index) in values and str(index) not in names)
        return (index < int(self.values[0])) == (self.relation == "is below")


def parse_split(split: str) -> tuple[str, Where | None, Callable[[int], slice]]:
    """The name in "train where label is 3 or 5[-10%:]", the condition, and which of how many images that it leaves.

    Raises InputError for a split that does not read so.
    """
    match = re.fullmatch(
        r"(?P<name>[^\[\]]+?)(?: where (?P<feature>\w+) (?P<relation>is below|is at least|is) (?P<values>[^\[\]]+))?"
        r"(?:\[(?P<start>-?\d+%?)?:(?P<stop>-?\d+%?)?\])?",
        split,
    )
    if match is None:
        raise InputError(f'The split "{split}" must read like "train", "train[:50000]" or "train where label is 3".')
    name, start, stop, where = match["name"], match["start"], match["stop"], None
    if match["feature"]:
        where = Where(match["feature"], match["relation"], match["values"].split(" or "))
        if where.relation != "is" and not re.fullmatch(r"\d+", match["values"]):
            raise InputError(f'The split "{split}" must say which number the index of the class {where.relation}.')

    def position(boundary: str, count: int) -> int:
        number = int(boundary.strip("%"))
        if boundary.endswith("%"):  # one place for "90%" and "-10%", whatever the count
            return round((number if not boundary.startswith("-") else 100 + number) * count / 100)
        return count + number if boundary.startswith("-") else number

    def part(count: int) -> slice:
        first, end = position(start or "0", count), position(stop or "100%", count)
        if not 0 <= first < end <= count:
            raise InputError(f'The split "{split}" must be some of the {count} images of "{name}", and at least one.')
        return slice(first, end)

    return name, where, part


def chosen(where: Where | None, indices: Sequence[int], names: Sequence[str], split: str) -> Sequence[int]:
    """The rows of a split that a condition leaves, by the class of each; InputError where it leaves none."""
    if where is None:
        return range(len(indices))
    rows = [row for row, index in enumerate(indices) if where.holds(index, names)]
    if not rows:
        raise InputError(
            f"No image of {split} has a {where.feature} that {where.relation} {' or '.join(where.values)}."
        )
    return rows


def _check_split(dataset: str, split: str, splits: Iterable[str]) -> None:
    if split not in splits:
        raise InputError(f'{dataset} has no split "{split}", but has {", ".join(splits)}.')


def rows_of(images: np.ndarray, labels: np.ndarray | None) -> Callable[[Sequence[int]], list[Example]]:
    """Reads rows of arrays as examples."""
    if labels is None:
        return lambda rows: [{"image": images[row]} for row in rows]
    return lambda rows: [{"image": images[row], "label": np.int32(labels[row])} for row in rows]


def _check_where(where: Where | None, dataset: str) -> None:
    if where is not None and where.feature != "label":
        raise InputError(f"{dataset} has no {where.feature}, but a label.")


def read_digits(split: str, *, where: Where | None, labels: bool) -> Source:
    """scikit-learn's digits, 8x8 of 17 levels, split in file order as Tomczak does."""
    from sklearn.datasets import load_digits

    _check_split("digits", split, DIGITS)
    _check_where(where, "digits")
    digits = load_digits()
    images = digits.images.astype(np.uint8)[..., None]
    read = rows_of(images, digits.target if labels else None)
    part = range(len(images))[DIGITS[split]]
    left = chosen(where, digits.target[DIGITS[split]].tolist(), [str(digit) for digit in range(10)], split)
    return Source("digits", [part[row] for row in left], read, levels=17, classes=10 if labels else None)


def image_files(root: pathlib.Path) -> list[pathlib.Path]:
    """The image files in a folder and all folders in it, also those that are links; nothing hidden.

    Raises InputError for a folder that cannot be read and a link that leads in a circle.
    """
    found: list[pathlib.Path] = []

    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename} cannot be read: {error.strerror}.")

    for name, folders, files in os.walk(root, onerror=refuse, followlinks=True):
        place = pathlib.Path(name)
        folders[:] = [folder for folder in folders if not folder.startswith(".")]
        around = {p.resolve() for p in (place, *place.parents) if p == root or root in p.parents}
        for folder in folders:
            if (place / folder).is_symlink() and (place / folder).resolve() in around:
                raise InputError(f"{place / folder} is a link to a folder that it lies in: remove the link.")
        found += [place / file for file in files if not file.startswith(".")]
    return sorted(file for file in found if file.suffix.lower() in EXTENSIONS)


def read_folder(split: str, *, where: Where | None, data_dir: str | pathlib.Path | None, labels: bool) -> Source:
    """The images below data_dir/SPLIT or, if the split is "all", below data_dir; in there, folders are classes."""
    root = pathlib.Path(data_dir or "").expanduser()
    if data_dir is None or not root.is_dir():
        raise InputError(f"data_dir={data_dir} must be a folder of images.")
    found = image_files(root)
    if not found:
        raise InputError(f"{root} holds no images: their names must end in {' '.join(EXTENSIONS)}.")
    inside = {file: file.relative_to(root).parts[:-1] for file in found}  # the folders that each lies in
    _check_split(f"The folder {root}", split, sorted({folders[0] for folders in inside.values() if folders} | {"all"}))
    files = [file for file in found if split == "all" or inside[file][:1] == (split,)]
    # The classes of all splits together, so that a label means the same in each of them.
    depth = 0 if split == "all" else 1
    class_of = {file: folders[depth] for file, folders in inside.items() if len(folders) > depth}
    classes = sorted(set(class_of.values()))
    _check_where(where, f"The folder {root}")
    if (labels or where) and not class_of.keys() >= set(files):
        raise InputError(f"For labels, each image in {root} must lie in a folder named after its class.")
    if where:
        files = [files[row] for row in chosen(where, [classes.index(class_of[file]) for file in files], classes, split)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        colour = any(list(pool.map(_has_colour, found)))  # of any split, so that all of them have as many channels

    def read(rows: Sequence[int]) -> list[Example]:
        return [
            {"image": decode(file, colour=colour)}
            | ({"label": np.int32(classes.index(class_of[file]))} if labels else {})
            for file in (files[row] for row in rows)
        ]

    number = len(classes) if labels else None
    return Source(root.resolve().name, range(len(files)), read, classes=number, files=files)


def read_tfds(
    name: str,
    split: str,
    *,
    where: Where | None,
    data_dir: str | pathlib.Path | None,
    labels: bool,
    download: bool,
) -> Source:
    """A split of a TFDS set that lies prepared below ``data_dir``, as array_record."""
    import tensorflow_datasets as tfds

    root = _root(data_dir)
    folder = _find_prepared(name, root) or _download(name, root, allowed=download)
    again = f"move it away and prepare it anew, {_command(name, root)}"
    try:
        builder = tfds.builder_from_directory(folder)
        features = builder.info.features
    except Exception as error:  # protobuf, json and TFDS each raise their own for a damaged file
        raise InputError(f"What describes {name} in {folder} is damaged: {again}.") from error
    _check_split(name, split, builder.info.splits)
    if not builder.info.splits[split].num_examples:
        raise InputError(f"The split {split} of {name} holds no images.")
    images, key = _image_features(name, features)
    if labels and not _names_classes(features, "label"):
        raise InputError(f"{name} has no class labels: leave labels out, or choose another data set.")
    if where and not _names_classes(features, where.feature):
        named = [feature for feature in sorted(features) if _names_classes(features, feature)]
        raise InputError(f"{name} has no classes called {where.feature}, but {', '.join(named) or 'none at all'}.")

    # Decoded by us: TFDS uses OpenCV where there is one, and that decodes some JPEGs to other values than Pillow.
    decoders = dict.fromkeys(images, tfds.decode.SkipDecoding())
    try:
        source = builder.as_data_source(split, decoders=decoders)
    except NotImplementedError:  # how TFDS says so
        raise InputError(f"{folder} is not in the array_record format: {again}") from None

    def records(rows: Sequence[int], source: Any = source) -> list[dict[str, Any]]:
        try:
            return list(source.__getitems__(rows) if len(rows) > 1 else [source[rows[0]]])
        except RuntimeError as error:  # array_record's, for a file that is damaged or missing
            raise InputError(f"{folder} is damaged, {error}: {again}") from error

    def values(feature: str, source: Any) -> list[Any]:
        """A feature of all images, which takes reading them."""
        return [r[feature] for i in range(0, len(source), 64) for r in records(range(len(source))[i : i + 64], source)]

    def class_names(feature: str) -> list[str]:
        """The names of its classes; of a text, all texts of all splits, so that a class means the same in each."""
        if isinstance(features[feature], tfds.features.ClassLabel):
            return list(features[feature].names)
        sources = (builder.as_data_source(name, decoders=decoders) for name in filled)
        return sorted({_text(value) for source in sources for value in values(feature, source)})

    filled = [name for name, found in builder.info.splits.items() if found.num_examples]
    names = {feature: class_names(feature) for feature in {"label"} & {*features} if labels}
    if where and where.feature not in names:
        names[where.feature] = class_names(where.feature)
    numbers = {feature: {name: i for i, name in enumerate(known)} for feature, known in names.items()}

    def number(feature: str, value: Any) -> int:
        return numbers[feature][_text(value)] if isinstance(value, str | bytes) else int(value)

    def read(rows: Sequence[int]) -> list[Example]:
        return [
            {"image": decode(io.BytesIO(record[key]), colour=_channels(features[key]) == 3)}
            | ({"label": np.int32(number("label", record["label"]))} if labels else {})
            for record in records(rows)
        ]

    left: Sequence[int] = range(len(source))
    if where:
        indices = [number(where.feature, value) for value in values(where.feature, source)]
        left = chosen(where, indices, names[where.feature], split)
    title, classes = f"{name.partition(':')[0]} {folder.name}", len(names["label"]) if labels else None
    # By 64, for array_record takes as long for one record as for a dozen.
    return Source(title, left, read, classes=classes, block=64)


def is_prepared(name: str, data_dir: str | pathlib.Path | None) -> bool:
    """Whether a TFDS set is there to be read."""
    return _find_prepared(name, _root(data_dir)) is not None


def describe_tfds(name: str, *, labels: bool, value: int) -> Source:
    """What TFDS knows of a set without having it: an image of the same shape and one value, and how many classes.

    Raises InputError for a set that it does not know, and where it does not know what is asked.
    """
    import tensorflow_datasets as tfds

    _check_known(name)
    try:
        builder = tfds.builder(name)
        features = builder.info.features
    except Exception as error:  # whatever one of TFDS's hundreds of scripts raises
        raise InputError(f"TFDS cannot describe {name}: {str(error).strip().partition(chr(10))[0]}") from error
    _, key = _image_features(name, features)
    height, width, _ = features[key].shape
    if height is None or width is None:  # images may be of one size all the same, and of some sets the name tells it
        named = re.search(r"/(\d+)x(\d+)", name)
        if named is None:
            raise InputError(f"TFDS does not know the size of the images of {name}: prepare it first.")
        height, width = map(int, named.groups())
    title, classes = f"{name}, which is not there,", None
    if labels:
        if not _names_classes(features, "label"):
            raise InputError(f"{name} has no class labels: leave labels out, or choose another data set.")
        classes = getattr(features["label"], "num_classes", None)
        if classes is None:  # texts, of which nobody knows how many differ before they are read
            title, classes = f"{title} its classes unknown and counted as one,", 1
    image = np.full((height, width, _channels(features[key])), value, np.uint8)
    example = {"image": image} | ({"label": np.int32(0)} if labels else {})
    return Source(title, range(1), lambda rows: [example for _ in rows], classes=classes)


def _root(data_dir: str | pathlib.Path | None) -> pathlib.Path:
    import tensorflow_datasets as tfds

    return pathlib.Path(data_dir or tfds.core.constants.DATA_DIR).expanduser()


def _image_features(name: str, features: Any) -> tuple[list[str], str]:
    """The features of a TFDS set that are images, and the one that is meant. InputError for other than 8-bit ones."""
    import tensorflow_datasets as tfds

    images = [key for key in features if type(features[key]) is tfds.features.Image]
    if "image" not in images and len(images) != 1:
        raise InputError(
            f"{name} has no image among its features, {', '.join(sorted(features))}: choose another data set."
        )
    key = "image" if "image" in images else images[0]
    if features[key].np_dtype != np.uint8:
        raise InputError(f"{name} holds {features[key].np_dtype} images, but only 8-bit ones can be read.")
    return images, key


def _channels(feature: Any) -> int:
    """How many are read of an image feature: transparency, a second or a fourth one, is left out as it is of files."""
    return 1 if feature.shape[-1] in (1, 2) else 3


def _names_classes(features: Any, feature: str) -> bool:
    """Whether a feature of a TFDS set says which class an image is of, by a number or a text."""
    import tensorflow_datasets as tfds

    return feature in features and isinstance(features[feature], tfds.features.ClassLabel | tfds.features.Text)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _find_prepared(name: str, root: pathlib.Path) -> pathlib.Path | None:
    """The folder root/NAME[/CONFIG]/VERSION for "name", "name/config", or either with ":version"; else the newest."""
    name, _, version = name.partition(":")
    found = [f.parent for f in (root / name).glob(f"{version or '*'}/dataset_info.json")]
    folders = [folder for folder in found if re.fullmatch(r"\d+\.\d+\.\d+", folder.name)]
    configs = sorted({f.parents[1].name for f in (root / name).glob("*/*/dataset_info.json")})
    if configs and not folders:
        raise InputError(f"{name} comes as {', '.join(f'{name}/{config}' for config in configs)}: name one of these.")
    return max(folders, key=lambda folder: [int(number) for number in folder.name.split(".")], default=None)


def _command(name: str, root: pathlib.Path) -> str:
    return f"""python -c "import tensorflow_datasets as tfds; tfds.data_source('{name}', data_dir='{root}')\""""


def _check_known(name: str) -> str:
    """A data set's name without config and version; InputError for one that TFDS does not know."""
    import tensorflow_datasets as tfds

    plain = re.split("[/:]", name)[0]
    known = tfds.list_builders(with_community_datasets=False)  # the community's would be looked up on the network
    if plain not in known:
        close = difflib.get_close_matches(plain, [*known, "digits", "folder"]) or ["digits", "folder", "mnist"]
        raise InputError(f'There is no data set "{plain}": did you mean {" or ".join(close)}?')
    return plain


def _download(name: str, root: pathlib.Path, *, allowed: bool) -> pathlib.Path:
    import tensorflow_datasets as tfds

    plain = _check_known(name)
    if not allowed:
        raise InputError(f"{name} is not prepared in {root}: set download, or run {_command(name, root)}")
    url = next(iter(tfds.builder_cls(plain).url_infos or {}), "https://storage.googleapis.com")
    if not _reachable(url):  # asked first, because TFDS tries for minutes
        raise InputError(f"{name} is not prepared in {root}, and {url} cannot be reached: download it where it can.")
    try:
        builder = tfds.builder(name, data_dir=root, file_format="array_record")
        builder.download_and_prepare()
    except Exception as error:  # whatever one of TFDS's hundreds of scripts raises
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"TFDS could not prepare {name} in {root}: {reason}") from error
    return pathlib.Path(builder.data_dir)


def _reachable(url: str, *, seconds: float = 3) -> bool:
    """Whether the host of `url`, or the proxy in front of it, answers."""
    scheme = urllib.parse.urlsplit(url).scheme
    host = urllib.parse.urlsplit(url).hostname or ""
    proxy = None if urllib.request.proxy_bypass(host) else urllib.request.getproxies().get(scheme)
    target = urllib.parse.urlsplit(url if proxy is None else proxy if "://" in proxy else f"http://{proxy}")
    answered = threading.Event()

    def connect() -> None:
        port = target.port or {"http": 80}.get(target.scheme, 443)
        with contextlib.suppress(OSError), socket.create_connection((target.hostname, port), seconds):
            answered.set()

    # In a thread, since no timeout holds for the look-up of a name.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(seconds)
    return answered.is_set()


# Image files


@contextlib.contextmanager
def _opened(file: pathlib.Path | io.BytesIO) -> Iterator[PIL.ImageFile.ImageFile]:
    name = file if isinstance(file, pathlib.Path) else "An image of the data set"
    try:
        with PIL.Image.open(file) as image:
            if has_more_bits(image):
                raise InputError(f"{name} has more than 8 bits per value: convert it to 8 bits.")
            if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:  # MPO: a photograph and its previews
                raise InputError(f"{name} holds several pictures: save each as a file.")
            yield image
    except PIL.UnidentifiedImageError as error:
        raise InputError(f"{name} cannot be read, it is no image: repair or remove it.") from error
    except InputError:
        raise
    except Exception as error:  # Pillow raises half a dozen kinds for broken files
        raise InputError(f"{name} cannot be read, {error}: repair or remove it.") from error


def _has_colour(file: pathlib.Path) -> bool:
    """Whether there is more than grey."""
    with _opened(file) as image:
        return image.mode not in ("1", "L", "LA")


def has_more_bits(image: PIL.Image.Image) -> bool:
    """Whether an opened file holds other than 8 bits a value: of 16, Pillow would silently drop 8 from colours."""
    for decoder, _, _, arguments in getattr(image, "tile", []):
        mode, *rest = arguments if isinstance(arguments, tuple) else (arguments,)
        if ";16" in str(mode) and mode != "BGR;16":  # that one is 5, 6 and 5 bits
            return True
        if decoder in ("ppm", "ppm_plain") and rest and rest[0] > 255:  # the largest value that the file may hold
            return True
    return image.mode[0] in "IF"


def decode(file: pathlib.Path | io.BytesIO, *, colour: bool) -> UInt8[np.ndarray, "height width channel"]:
    """An image file as 8-bit RGB or grey, whatever it holds; InputError for one that is broken."""
    with _opened(file) as image:
        # Photographs lie on their side until turned as they say; TFDS does not turn its own.
        upright = PIL.ImageOps.exif_transpose(image) if isinstance(file, pathlib.Path) else image
        opaque = upright.convert("RGBA") if upright.mode == "P" else upright  # or a transparent palette would warn
        return np.asarray(opaque.convert("RGB" if colour else "L")).reshape(upright.height, upright.width, -1)
