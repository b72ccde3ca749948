"""Data sets as integer images: batch k is a function of k and the seed alone.

Reads scikit-learn's digits, folders of images, arrays, and all that TFDS prepares; never imports TensorFlow.
"""

import collections
import concurrent.futures
import dataclasses
import functools
import math
import pathlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import grain
import numpy as np
import PIL.Image
import PIL.ImageFile
import PIL.ImageOps
from jaxtyping import Int, UInt

from pixelcnn_jax.data.sources import (
    Example,
    Source,
    describe_tfds,
    is_prepared,
    parse_split,
    read_digits,
    read_folder,
    read_tfds,
    rows_of,
)
from pixelcnn_jax.errors import InputError

KEPT_BYTES = 512 * 2**20  # a smaller split is kept in memory once it has been decoded


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

    def some(self, count: int) -> "Images":
        """So many of them, evenly from the first to the last, for they may lie in order of their classes; or all."""
        if count >= len(self):
            return self
        indices = np.arange(count) * len(self) // count
        chosen = grain.MapDataset.range(count).map(lambda i: self.examples[int(indices[i])])
        return dataclasses.replace(self, examples=chosen, description=f"{self.description}, {count} of them")

    def labels(self) -> Int[np.ndarray, " count"]:
        """The class of each."""
        return np.array([example["label"] for example in self.examples])


class NoImagesError(InputError):
    """Images were asked for of a split that holds none."""


def no_images(shape: tuple[int, int, int], *, levels: int, classes: int | None) -> Images:
    """A split that says what images are like, and holds none."""
    return Images(grain.MapDataset.range(0), shape, levels=levels, classes=classes, description="no images")


def read(images: Images) -> Example:
    """All images of a split, as evaluation sees them, and their labels. Raises NoImagesError if it has none."""
    if not len(images):
        raise NoImagesError("This needs images of the data set.")
    batches = list(evaluation_batches(images, batch_size=min(len(images), 1000)))
    mask = np.concatenate([batch["mask"] for batch in batches])
    return {name: np.concatenate([batch[name] for batch in batches])[mask] for name in batches[0] if name != "mask"}


def some_images(images: Images, count: int) -> Int[np.ndarray, "count height width channel"]:
    """So many images of a split, and some again where it has fewer. Raises NoImagesError if it has none."""
    few = read(images.some(count))["image"]
    return few[np.arange(count) % len(few)]


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
    invert: bool = False,
    labels: bool = False,
    download: bool = False,
    absent: bool = False,
) -> Images:
    """One split of a data set, e.g. `load("mnist", "train[:50000]", binarize="dynamic")`.

    Args:
      dataset: "digits" (8x8, split as Tomczak does), "folder", or the name of a TFDS set, prepared as array_record:
        "cifar10", "mnist:3.0.1", "downsampled_imagenet/32x32". Images are read as RGB or grey, without transparency.
      split: a name, or a part as in "train[:50000]", "train[5000:6000]", "train[-10%:]"; or the images of some classes,
        "train where label is 3 or 5", "train where label is below 100[:90%]", "... is at least 100", by name or index,
        of any feature of the data set that names classes ("small2 where alphabet is Sanskrit or Tagalog").
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
      invert: turn dark into bright, as for ink on white paper.
      labels: carry the class of each image.
      download: let TFDS download and prepare a set that is missing.
      absent: of a TFDS set that is missing a white image (with invert, once inverted) stands for all, of which shape,
        levels and classes are true.

    Raises:
      InputError: within seconds, for whatever of this cannot be had.
    """
    name, where, part = parse_split(split)
    if dataset == "digits":
        source = read_digits(name, where=where, labels=labels)
    elif dataset == "folder":
        source = read_folder(name, where=where, data_dir=data_dir, labels=labels)
    elif absent and not is_prepared(dataset, data_dir):
        white = 255 if bits or binarize != "none" else min(levels, 256) - 1
        white = 255 - white if invert else white
        source, part = describe_tfds(dataset, labels=labels, value=white), lambda count: slice(count)
    else:
        source = read_tfds(dataset, name, where=where, data_dir=data_dir, labels=labels, download=download)
    source = source._replace(title=f"{source.title} {split}", rows=source.rows[part(len(source.rows))])
    return _prepare(source, levels=levels, bits=bits, binarize=binarize, resize=resize, grey=grey, invert=invert)


def from_array(
    images: np.ndarray,
    labels: np.ndarray | None = None,
    *,
    levels: int,
    bits: int | None = None,
    binarize: str = "none",
    resize: int | tuple[int, int] | None = None,
    grey: bool = False,
    invert: bool = False,
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
    source = Source(description, range(len(images)), rows_of(stored, labels), levels, classes)
    return _prepare(source, levels=levels, bits=bits, binarize=binarize, resize=resize, grey=grey, invert=invert)


# Batches


def training_batches(
    images: Images,
    *,
    batch_size: int,
    seed: int,
    flip: bool = False,
    shift: int = 0,
    per_class: int = 1,
    process_index: int = 0,
    process_count: int = 1,
) -> grain.MapDataset:
    """Endless shuffled batches: `batches[k]` is a function of k and the seed alone.

    It is {"image": int32 [batch, height, width, channel]} with, where labels are carried, {"label": int32 [batch]}.
    `flip` mirrors images at random, `shift` moves them by up to so many pixels over zeros. `per_class` images of one
    class follow one another, as far as it has so many: for losses that compare them. `batch_size` counts all processes
    together; each gets its consecutive rows of batch k.

    Raises:
      InputError: for negative numbers, per_class without labels, or if the processes cannot share a batch equally; when
        a batch is read, for images that differ in size and values that are not below `levels`.
    """
    if batch_size < 1 or batch_size % process_count:
        raise InputError(f"batch_size={batch_size} must be a positive multiple of the {process_count} process(es).")
    if per_class > 1 and images.classes is None:
        raise InputError(f"per_class={per_class} needs class labels: set labels.")
    if seed < 0 or shift < 0:
        raise InputError(f"seed={seed} and shift={shift} must not be negative.")
    seeds = np.random.SeedSequence(seed).generate_state(3).tolist()
    # Drawn before the shuffle: by an image's index and the epoch, not by its place in the order.
    examples = _draw(images, seed=seeds[0])
    if flip:
        examples = examples.random_map(_flip, seed=seeds[1])
    if shift:
        examples = examples.random_map(functools.partial(_shift, pixels=shift), seed=seeds[2])

    labels = images.labels() if per_class > 1 else None

    @functools.lru_cache(maxsize=2)  # the epoch being read, and the next
    def order(epoch: int) -> np.ndarray:
        random = np.random.default_rng([seed, epoch])
        mixed = random.permutation(len(images))
        return mixed if labels is None else _classmates(mixed, labels, per_class, random)

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


def evaluation_batches(
    images: Images, *, batch_size: int, process_index: int = 0, process_count: int = 1
) -> Iterator[Example]:
    """Every image once and in order; "mask", bool [batch], is False where the last batch was filled up.

    `batch_size` counts all processes together; each gets its consecutive rows of every batch.

    Raises:
      InputError: for an empty batch, or one that the processes cannot share equally; when a batch is read, as in
        training.
    """
    if batch_size < 1:
        raise InputError(f"The batch size of evaluation is {batch_size}, but must be positive.")
    if batch_size % process_count:
        raise InputError(f"An evaluation batch of {batch_size} must be a multiple of the {process_count} processes.")
    examples, count, rows = _draw(images, seed=0), len(images), batch_size // process_count
    # Past the end the last image stands in, also for a process whose rows of the last batch all lie there.
    places = np.arange(-(-count // batch_size) * batch_size).reshape(-1, process_count, rows)[:, process_index].ravel()
    own = grain.MapDataset.range(len(places)).map(lambda i: examples[min(int(places[i]), count - 1)])
    batches = own.batch(rows, batch_fn=functools.partial(_stack, images=images))
    masks = (places < count).reshape(-1, rows)
    return ({**batch, "mask": mask} for batch, mask in zip(read_ahead(batches), masks, strict=True))


def read_ahead(batches: grain.MapDataset, *, start: int = 0, threads: int = 2) -> Iterator[Example]:
    """`batches[start]`, `batches[start + 1]`, ...; threads read the next few in the meantime."""
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    return iter(batches[start:].to_iter_dataset(options))


def _classmates(
    order: Int[np.ndarray, " count"], labels: Int[np.ndarray, " count"], together: int, random: np.random.Generator
) -> Int[np.ndarray, " count"]:
    """The same order, but for every `together` images of a class having been brought together."""
    by_class = order[np.argsort(labels[order], kind="stable")]
    starts = np.flatnonzero(np.diff(labels[by_class], prepend=-1))
    groups = [g for c in np.split(by_class, starts[1:]) for g in np.split(c, range(together, len(c), together))]
    return np.concatenate([groups[i] for i in random.permutation(len(groups))])


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
        _check_label(example, images)
    batch = {key: np.stack([example[key] for example in examples]).astype(np.int32) for key in examples[0]}
    _check_values(int(batch["image"].max()), images.levels, images)
    return batch


# Preparation


def _prepare(
    source: Source,
    *,
    levels: int,
    bits: int | None,
    binarize: str,
    resize: int | tuple[int, int] | None,
    grey: bool,
    invert: bool,
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
    if invert:
        steps["inverted"] = lambda image: (source.levels - 1 - image).astype(image.dtype)
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

    count, first = len(source.rows), direct(0)["image"]

    @functools.cache
    def block(number: int) -> list[Example]:
        return read(source.rows[number * source.block : (number + 1) * source.block])

    # Neighbours are read by many threads at a time: without a lock each of them would decode their block.
    locks: dict[int, threading.Lock] = collections.defaultdict(threading.Lock)

    def kept(index: int) -> Example:
        number, place = divmod(index, source.block)
        with locks[number]:
            return block(number)[place]

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
        raise InputError(
            f"{source.title} holds nothing that {binarize} binarisation makes a 1 of: if it is of 0 and 1 already, "
            "leave binarize out, and set levels=2."
        )
    return images


def _inspect(images: Images, source: Source, example: Callable[[int], Example]) -> int:
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
                _check_label(read, images)
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


def _check_label(example: Example, images: Images) -> None:
    if images.classes is not None and not 0 <= example["label"] < images.classes:
        raise InputError(f"{images.description} holds labels that are not 0 .. {images.classes - 1}: leave labels out.")


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
