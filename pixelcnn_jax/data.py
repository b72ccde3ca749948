"""Data sets as integer images: batch k is a function of k and the seed alone.

Reads scikit-learn's digits, folders of images, arrays, and all that TFDS prepares; never imports TensorFlow.
"""

import concurrent.futures
import contextlib
import dataclasses
import difflib
import functools
import io
import math
import pathlib
import re
import socket
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import grain
import numpy as np
import PIL.Image
import PIL.ImageFile
import PIL.ImageOps
from jaxtyping import UInt, UInt8

from pixelcnn_jax.errors import InputError

Example = dict[str, Any]  # {"image": [height, width, channel]} and, where labels are carried, {"label": int32}

KEPT_BYTES = 512 * 2**20  # a smaller split is kept in memory once it has been decoded
EXTENSIONS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".ppm", ".pgm", ".tif", ".tiff")
DIGITS = {"train": slice(1000), "validation": slice(1000, 1350), "test": slice(1350, None), "all": slice(None)}


@dataclasses.dataclass(frozen=True)
class Images:
    """One split: integer images, by index, ready for a model."""

    examples: grain.MapDataset  # of Example; all that is the same at every reading has been done to them
    shape: tuple[int, int, int]  # height, width, channel
    levels: int  # the values in a batch are 0 .. levels-1
    classes: int | None  # number of classes, None where no labels are carried
    description: str  # e.g. "mnist 3.0.1 train[:50000], resized to 32x32, binarised at 128"
    intensities: int | None = None  # dynamic binarisation: examples hold 0 .. intensities-1, batches draw 0 or 1

    def __len__(self) -> int:
        return len(self.examples)


def load(
    dataset: str,
    split: str,
    *,
    data_dir: str | pathlib.Path | None = None,
    levels: int = 256,
    bits: int | None = None,
    binarize: str = "none",
    resize: int | tuple[int, int] | None = None,
    grey: bool = False,
    labels: bool = False,
    download: bool = False,
) -> Images:
    """One split of a data set, e.g. `load("mnist", "train[:50000]", binarize="dynamic")`.

    Args:
      dataset: "digits" (8x8, split as Tomczak does), "folder", or the name of a TFDS set, prepared as array_record:
        "cifar10", "mnist:3.0.1", "downsampled_imagenet/32x32".
      split: a name, or a part as in "train[:50000]", "train[5000:6000]", "train[-10%:]".
      data_dir: for "folder" the folder, which holds SPLIT/... or SPLIT/CLASS/..., or whatever it holds is the split
        "all"; the images are decoded into memory at once. For TFDS its folder, else `TFDS_DATA_DIR` or
        ~/tensorflow_datasets.
      levels: how many values there may be; fewer result where `bits`, `binarize` or the digits (17) need fewer.
      bits: keep the highest so many bits of 8-bit images.
      binarize: "threshold": 1 for the upper half of the values; "dynamic": 1 with probability value/255, drawn anew in
        each epoch of training, but always the same in evaluation.
      resize: to height and width, or a square: the largest centred window of that aspect ratio, of which each new
        pixel is the mean of those it covers (Pillow's BOX; enlarging repeats pixels), so no value leaves the range.
      grey: turn colours into luma.
      labels: carry the class of each image.
      download: let TFDS download and prepare a set that is missing.

    Raises:
      InputError: within seconds, for whatever of this cannot be had.
    """
    name, part = _parse_split(split)
    if dataset == "digits":
        source = _digits(name, labels=labels)
    elif dataset == "folder":
        source = _folder(name, data_dir=data_dir, labels=labels)
    else:
        source = _tfds(dataset, name, data_dir=data_dir, labels=labels, download=download)
    source = source._replace(title=f"{source.title} {split}", rows=source.rows[part(len(source.rows))])
    return _prepare(source, levels=levels, bits=bits, binarize=binarize, resize=resize, grey=grey)


def from_array(
    images: np.ndarray,
    labels: np.ndarray | None = None,
    *,
    levels: int,
    bits: int | None = None,
    binarize: str = "none",
    resize: int | tuple[int, int] | None = None,
    grey: bool = False,
    classes: int | None = None,
    description: str = "array",
) -> Images:
    """Images from an array of integers 0 .. levels-1, [count, height, width] or [count, height, width, channel].

    Labels are integers [count] below `classes`, by default the largest plus one. The other options are `load`'s.

    Raises:
      InputError: for another shape, kind of number, or value.
    """
    levels = 2 if images.dtype == bool else min(levels, 2**16)
    if images.ndim not in (3, 4) or not images.size:
        raise InputError(f"Images must be an array [count, height, width, channel], but its shape is {images.shape}.")
    if images.dtype.kind not in "bui":
        raise InputError(f"Images must be integers 0 .. {levels - 1}, not {images.dtype}: scale and round them first.")
    if images.min() < 0 or images.max() >= levels:
        raise InputError(f"Images hold {images.min()} .. {images.max()}, not 0 .. {levels - 1}: set levels.")
    stored = images.reshape(*images.shape[:3], -1).astype(np.uint8 if levels <= 256 else np.uint16)
    if labels is None:
        classes = None
    elif labels.dtype.kind not in "ui" or labels.shape != images.shape[:1]:
        raise InputError(f"Labels must be an array [{len(images)}] of integers.")
    else:
        classes = classes or int(labels.max()) + 1
        if labels.min() < 0 or labels.max() >= classes:
            raise InputError(f"Labels are {labels.min()} .. {labels.max()}, not 0 .. {classes - 1}: set classes.")
    source = _Source(description, range(len(images)), _rows_of(stored, labels), levels, classes)
    return _prepare(source, levels=levels, bits=bits, binarize=binarize, resize=resize, grey=grey)


# Batches


def training_batches(
    images: Images,
    *,
    batch_size: int,
    seed: int,
    flip: bool = False,
    shift: int = 0,
    process_index: int = 0,
    process_count: int = 1,
) -> grain.MapDataset:
    """Endless shuffled batches: `batches[k]` is a function of k and the seed alone.

    It is {"image": int32 [batch, height, width, channel]} with, where labels are carried, {"label": int32 [batch]}.
    `flip` mirrors images at random, `shift` moves them by up to so many pixels over zeros. `batch_size` counts all
    processes together; each gets its consecutive rows of batch k.

    Raises:
      InputError: for negative numbers, or if the processes cannot share a batch equally; when a batch is read, for
        images that differ in size and values that are not below `levels`.
    """
    if batch_size < 1 or batch_size % process_count:
        raise InputError(f"batch_size={batch_size} must be a positive multiple of the {process_count} process(es).")
    if seed < 0 or shift < 0:
        raise InputError(f"seed={seed} and shift={shift} must not be negative.")
    seeds = np.random.SeedSequence(seed).generate_state(3).tolist()
    # Drawn before the shuffle: by an image's index and the epoch, not by its place in the order.
    examples = _draw(images, seed=seeds[0])
    if flip:
        examples = examples.random_map(_flip, seed=seeds[1])
    if shift:
        examples = examples.random_map(functools.partial(_shift, pixels=shift), seed=seeds[2])

    @functools.lru_cache(maxsize=2)  # the epoch being read, and the next
    def order(epoch: int) -> np.ndarray:
        return np.random.default_rng([seed, epoch]).permutation(len(images))

    def shuffled(index: int) -> Example:
        epoch, place = divmod(index, len(images))
        return examples[epoch * len(images) + int(order(epoch)[place])]

    # Not grain's shuffle(): it draws from 2**16 indices until it hits one of the images, milliseconds for a few images.
    stream = grain.MapDataset.range(sys.maxsize).map(shuffled)
    # Nothing remains to be dropped, but grain would round the number of batches up, past what len() can return.
    batches = stream.batch(
        batch_size // process_count, drop_remainder=True, batch_fn=functools.partial(_stack, images=images)
    )
    return batches[process_index::process_count]


def evaluation_batches(images: Images, *, batch_size: int) -> Iterator[Example]:
    """Every image once and in order; "mask", bool [batch], is False where the last batch was filled up.

    Raises:
      InputError: for an empty batch; when a batch is read, as in training.
    """
    if batch_size < 1:
        raise InputError(f"The batch size of evaluation is {batch_size}, but must be positive.")
    batches = _draw(images, seed=0).batch(batch_size, batch_fn=functools.partial(_stack, images=images))
    return read_ahead(batches.map(functools.partial(_fill, batch_size=batch_size)))


def read_ahead(batches: grain.MapDataset, *, start: int = 0, threads: int = 2) -> Iterator[Example]:
    """`batches[start]`, `batches[start + 1]`, ...; threads read the next few in the meantime."""
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    return iter(batches[start:].to_iter_dataset(options))


def _draw(images: Images, *, seed: int) -> grain.MapDataset:
    if images.intensities is None:
        return images.examples
    return images.examples.random_map(functools.partial(_bernoulli, highest=images.intensities - 1), seed=seed)


def _bernoulli(example: Example, random: np.random.Generator, *, highest: int) -> Example:
    return example | {"image": random.random(example["image"].shape) * highest < example["image"]}


def _flip(example: Example, random: np.random.Generator) -> Example:
    return example | {"image": example["image"][:, ::-1]} if random.random() < 0.5 else example


def _shift(example: Example, random: np.random.Generator, *, pixels: int) -> Example:
    down, right = random.integers(0, 2 * pixels, size=2, endpoint=True)
    height, width, channels = example["image"].shape
    bordered = np.zeros((height + 2 * pixels, width + 2 * pixels, channels), example["image"].dtype)
    bordered[pixels : pixels + height, pixels : pixels + width] = example["image"]  # np.pad takes ten times as long
    return example | {"image": bordered[down : down + height, right : right + width]}


def _stack(examples: Sequence[Example], *, images: Images) -> Example:
    for example in examples:
        _check_shape(example["image"].shape, images)
    batch = {key: np.stack([example[key] for example in examples]).astype(np.int32) for key in examples[0]}
    _check_values(int(batch["image"].max()), images.levels, images)
    return batch


def _fill(batch: Example, *, batch_size: int) -> Example:
    count = len(batch["image"])
    rows = np.arange(batch_size)
    return {key: value[np.minimum(rows, count - 1)] for key, value in batch.items()} | {"mask": rows < count}


# Preparation


class _Source(NamedTuple):
    """A split as it is stored."""

    title: str  # e.g. "mnist 3.0.1"
    rows: range  # which make up the split
    read: Callable[[Sequence[int]], list[Example]]  # some rows
    levels: int = 256
    classes: int | None = None
    files: Sequence[pathlib.Path] | None = None  # of each row
    block: int = 1  # how many rows are best read at a time


def _prepare(
    source: _Source, *, levels: int, bits: int | None, binarize: str, resize: int | tuple[int, int] | None, grey: bool
) -> Images:
    """Applies the options to a source, and looks at some of the images that result."""
    if binarize not in ("none", "threshold", "dynamic"):
        raise InputError(f'binarize="{binarize}" must be "none", "threshold" or "dynamic".')
    if bits is not None and (binarize != "none" or source.levels != 256 or not 1 <= bits <= 8):
        raise InputError(f"bits={bits} must be 1 .. 8, and needs 8-bit images that are not binarised as well.")
    needed = 2 if binarize != "none" else 2**bits if bits else source.levels
    if levels < needed != source.levels:
        raise InputError(f"levels={levels} must be at least {needed} with bits={bits} and binarize={binarize}.")
    height, width = (resize, resize) if isinstance(resize, int) else resize or (1, 1)
    if min(height, width) < 1:
        raise InputError(f"resize={resize} must be at least one pixel high and wide.")

    steps: dict[str, Callable[[np.ndarray], np.ndarray]] = {}  # what is done to each image, in order and in words
    if grey:
        steps["grey"] = _luma
    if resize is not None:
        steps[f"resized to {height}x{width}"] = functools.partial(_resize, height=height, width=width)
    if bits:
        steps[f"reduced to {bits} bits"] = lambda image: image >> (8 - bits)
    if binarize == "threshold":
        threshold = (source.levels + 1) // 2
        steps[f"binarised at {threshold}"] = lambda image: (image >= threshold).astype(np.uint8)
    if binarize == "dynamic":
        steps["binarised at random"] = lambda image: image  # by the batches

    def read(rows: Sequence[int]) -> list[Example]:
        examples = source.read(rows)
        for step in steps.values():
            examples = [example | {"image": step(example["image"])} for example in examples]
        return examples

    def direct(index: int) -> Example:
        return read(source.rows[index : index + 1])[0]

    @functools.cache  # two threads may read the same block at first, which does no harm
    def block(number: int) -> list[Example]:
        return read(source.rows[number * source.block : (number + 1) * source.block])

    def kept(index: int) -> Example:
        return block(index // source.block)[index % source.block]

    count, first = len(source.rows), direct(0)["image"]
    images = Images(
        grain.MapDataset.range(count).map(kept if source.files or count * first.nbytes < KEPT_BYTES else direct),
        first.shape,
        levels=min(levels, needed),
        classes=source.classes,
        description=", ".join([source.title, *steps]),
        intensities=source.levels if binarize == "dynamic" else None,
    )
    highest = _inspect(images, source, kept if source.files else direct)
    if binarize != "none" and highest <= (images.intensities is not None):
        raise InputError(f"{source.title} holds 0 and 1 only: leave binarize out, and set levels=2.")
    return images


def _inspect(images: Images, source: _Source, example: Callable[[int], Example]) -> int:
    """The highest value of all images if they are files, which get decoded by that; else of some, in a second."""
    indices = range(0, len(images), 1 if source.files else math.ceil(len(images) / 256))

    def name(index: int) -> str:
        return str(source.files[source.rows[index]]) if source.files else f"image {index}"

    deadline = time.monotonic() + (math.inf if source.files else 1)
    highest = 0
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        try:
            for index, read in zip(indices, pool.map(example, indices), strict=True):
                _check_shape(read["image"].shape, images, (name(0), name(index)))
                highest = max(highest, int(read["image"].max()))
                if time.monotonic() > deadline:
                    break
        finally:
            pool.shutdown(cancel_futures=True)
    _check_values(highest, images.intensities or images.levels, images)
    return highest


def _check_shape(shape: tuple[int, ...], images: Images, names: tuple[str, str] = ("one", "another")) -> None:
    if shape != images.shape:
        first, other = ("x".join(map(str, size)) for size in (images.shape, shape))
        raise InputError(f"Images differ in size, {names[0]} is {first} and {names[1]} is {other}: set resize.")


def _check_values(highest: int, levels: int, images: Images) -> None:
    if highest >= levels:
        raise InputError(
            f"{images.description} holds the value {highest}, which is not below levels={levels}: "
            "raise levels, or set bits or binarize."
        )


def _luma(image: UInt[np.ndarray, "height width channel"]) -> UInt[np.ndarray, "height width 1"]:
    """ITU-R 601-2 luma, to the bit as Pillow computes it."""
    if image.shape[-1] not in (1, 3):
        raise InputError(f"Images of {image.shape[-1]} channels cannot be turned grey: leave grey out.")
    if image.shape[-1] == 1:
        return image
    return (image @ np.array([19595, 38470, 7471]) + 2**15 >> 16).astype(image.dtype)[..., None]


def _resize(
    image: UInt[np.ndarray, "rows columns channel"], *, height: int, width: int
) -> UInt[np.ndarray, "{height} {width} channel"]:
    rows, columns, _ = image.shape
    scale = min(rows / height, columns / width)
    top, left = max(rows - scale * height, 0) / 2, max(columns - scale * width, 0) / 2
    window = (left, top, columns - left, rows - top)
    channels = [PIL.Image.fromarray(channel) for channel in np.moveaxis(image, -1, 0)]
    resized = [channel.resize((width, height), PIL.Image.Resampling.BOX, window) for channel in channels]
    return np.stack([np.asarray(channel) for channel in resized], axis=-1)


# Sources


def _parse_split(split: str) -> tuple[str, Callable[[int], slice]]:
    """The name in "train[-10%:]", and a function from how many images that has to which of them are meant."""
    match = re.fullmatch(r"([^\[\]]+)(?:\[(-?\d+%?)?:(-?\d+%?)?\])?", split)
    if match is None:
        raise InputError(f'The split "{split}" must read like "train", "train[:50000]" or "train[-10%:]".')
    name, start, stop = match.groups()

    def position(boundary: str, count: int) -> int:
        number = int(boundary.strip("-%"))
        number = round(number * count / 100) if boundary.endswith("%") else number
        return count - number if boundary.startswith("-") else number

    def part(count: int) -> slice:
        first, end = position(start or "0", count), position(stop or "100%", count)
        if not 0 <= first < end <= count:
            raise InputError(f'The split "{split}" must be some of the {count} images of "{name}", and at least one.')
        return slice(first, end)

    return name, part


def _check_split(dataset: str, split: str, splits: Iterable[str]) -> None:
    if split not in splits:
        raise InputError(f'{dataset} has no split "{split}", but has {", ".join(splits)}.')


def _rows_of(images: np.ndarray, labels: np.ndarray | None) -> Callable[[Sequence[int]], list[Example]]:
    if labels is None:
        return lambda rows: [{"image": images[row]} for row in rows]
    return lambda rows: [{"image": images[row], "label": np.int32(labels[row])} for row in rows]


def _digits(split: str, *, labels: bool) -> _Source:
    from sklearn.datasets import load_digits

    _check_split("digits", split, DIGITS)
    digits = load_digits()
    images = digits.images.astype(np.uint8)[..., None]
    read = _rows_of(images, digits.target if labels else None)
    return _Source("digits", range(len(images))[DIGITS[split]], read, levels=17, classes=10 if labels else None)


def _folder(split: str, *, data_dir: str | pathlib.Path | None, labels: bool) -> _Source:
    """The images below data_dir/SPLIT or, if the split is "all", below data_dir; in there, folders are classes."""
    root = pathlib.Path(data_dir or "").expanduser()
    if data_dir is None or not root.is_dir():
        raise InputError(f"data_dir={data_dir} must be a folder of images.")
    found = sorted(f for f in root.rglob("*") if f.suffix.lower() in EXTENSIONS and not f.name.startswith("."))
    if not found:
        raise InputError(f"{root} holds no images: their names must end in {' '.join(EXTENSIONS)}.")
    inside = {file: file.relative_to(root).parts[:-1] for file in found}  # the folders that each lies in
    _check_split(f"The folder {root}", split, sorted({folders[0] for folders in inside.values() if folders} | {"all"}))
    files = [file for file in found if split == "all" or inside[file][:1] == (split,)]
    # The classes of all splits together, so that a label means the same in each of them.
    depth = 0 if split == "all" else 1
    class_of = {file: folders[depth] for file, folders in inside.items() if len(folders) > depth}
    classes = sorted(set(class_of.values()))
    if labels and not class_of.keys() >= set(files):
        raise InputError(f"For labels, each image in {root} must lie in a folder named after its class.")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        colour = any(list(pool.map(_has_colour, files)))

    def read(rows: Sequence[int]) -> list[Example]:
        return [
            {"image": _decode(file, colour=colour)}
            | ({"label": np.int32(classes.index(class_of[file]))} if labels else {})
            for file in (files[row] for row in rows)
        ]

    number = len(classes) if labels else None
    return _Source(root.resolve().name, range(len(files)), read, classes=number, files=files)


def _tfds(name: str, split: str, *, data_dir: str | pathlib.Path | None, labels: bool, download: bool) -> _Source:
    import tensorflow_datasets as tfds

    root = pathlib.Path(data_dir or tfds.core.constants.DATA_DIR).expanduser()
    folder = _find_prepared(name, root) or _download(name, root, allowed=download)
    builder = tfds.builder_from_directory(folder)
    features = builder.info.features
    _check_split(name, split, builder.info.splits)
    images = [key for key in features if type(features[key]) is tfds.features.Image]
    if "image" not in images and len(images) != 1:
        raise InputError(f"{name} has no image among its features, {', '.join(features)}: choose another data set.")
    key = "image" if "image" in images else images[0]
    if features[key].np_dtype != np.uint8:
        raise InputError(f"{name} holds {features[key].np_dtype} images, but only 8-bit ones can be read.")
    if labels and not ("label" in features and isinstance(features["label"], tfds.features.ClassLabel)):
        raise InputError(f"{name} has no class labels: leave labels out, or choose another data set.")
    again = f"move it away and prepare it anew, {_command(name, root)}"
    try:
        # Decoded by us: TFDS uses OpenCV where there is one, and that decodes some JPEGs to other values than Pillow.
        source = builder.as_data_source(split, decoders=dict.fromkeys(images, tfds.decode.SkipDecoding()))
    except NotImplementedError:  # how TFDS says so
        raise InputError(f"{folder} is not in the array_record format: {again}") from None

    def read(rows: Sequence[int]) -> list[Example]:
        try:
            stored = source.__getitems__(rows) if len(rows) > 1 else [source[rows[0]]]
        except RuntimeError as error:  # array_record's, for a file that is damaged or missing
            raise InputError(f"{folder} is damaged, {error}: {again}") from error
        return [
            {"image": _decode(io.BytesIO(record[key]), colour=features[key].shape[-1] != 1)}
            | ({"label": np.int32(record["label"])} if labels else {})
            for record in stored
        ]

    title, classes = f"{name.partition(':')[0]} {folder.name}", features["label"].num_classes if labels else None
    # By 64, for array_record takes as long for one record as for a dozen.
    return _Source(title, range(len(source)), read, classes=classes, block=64)


def _find_prepared(name: str, root: pathlib.Path) -> pathlib.Path | None:
    """The folder root/NAME[/CONFIG]/VERSION for "name", "name/config", or either with ":version"; else the newest."""
    name, _, version = name.partition(":")
    folders = [f.parent for f in (root / name).glob(f"{version or '[0-9]*'}/dataset_info.json")]
    configs = sorted({f.parents[1].name for f in (root / name).glob("*/*/dataset_info.json")})
    if configs and not folders:
        raise InputError(f"{name} comes as {', '.join(f'{name}/{config}' for config in configs)}: name one of these.")
    return max(folders, key=lambda folder: [int(number) for number in folder.name.split(".")], default=None)


def _command(name: str, root: pathlib.Path) -> str:
    return f"""python -c "import tensorflow_datasets as tfds; tfds.data_source('{name}', data_dir='{root}')\""""


def _download(name: str, root: pathlib.Path, *, allowed: bool) -> pathlib.Path:
    import tensorflow_datasets as tfds

    plain = re.split("[/:]", name)[0]
    known = tfds.list_builders(with_community_datasets=False)  # the community's would be looked up on the network
    if plain not in known:
        close = difflib.get_close_matches(plain, [*known, "digits", "folder"]) or ["digits", "folder", "mnist"]
        raise InputError(f'There is no data set "{plain}": did you mean {" or ".join(close)}?')
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
    target = urllib.parse.urlsplit(urllib.request.getproxies().get(scheme, url))
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
    try:
        with PIL.Image.open(file) as image:
            yield image
    except Exception as error:  # Pillow raises half a dozen kinds for broken files
        name = file if isinstance(file, pathlib.Path) else "An image of the data set"
        raise InputError(f"{name} cannot be read, {error}: repair or remove it.") from error


def _has_colour(file: pathlib.Path) -> bool:
    """Whether there is more than grey; refuses 16 bits, of which Pillow would silently drop 8 from colours."""
    with _opened(file) as image:
        mode, deep = image.mode, image.mode[0] in "IF" or ";16" in str(image.tile)
    if deep:
        raise InputError(f"{file} has more than 8 bits per value: convert it to 8 bits.")
    return mode not in ("1", "L", "LA")


def _decode(file: pathlib.Path | io.BytesIO, *, colour: bool) -> UInt8[np.ndarray, "height width channel"]:
    with _opened(file) as image:
        # Photographs lie on their side until turned as they say; TFDS does not turn its own.
        upright = PIL.ImageOps.exif_transpose(image) if isinstance(file, pathlib.Path) else image
        opaque = upright.convert("RGBA") if upright.mode == "P" else upright  # or a transparent palette would warn
        return np.asarray(opaque.convert("RGB" if colour else "L")).reshape(upright.height, upright.width, -1)
