"""Data sets by name: from a config, through a reader and the preparation, to a ``Dataset``."""

import dataclasses
import sys
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from pixelcnn_jax.data.arrays import read_arrays, read_digits
from pixelcnn_jax.data.dataset import Dataset
from pixelcnn_jax.data.example_sets import with_examples
from pixelcnn_jax.data.folder import read_folder
from pixelcnn_jax.data.patches import with_patches
from pixelcnn_jax.data.preparation import SCANS, Preparation, validated
from pixelcnn_jax.data.scenes import SIZES, read_scenes
from pixelcnn_jax.data.source import INSPECTED, Source
from pixelcnn_jax.data.splits import parse_split
from pixelcnn_jax.data.tfds import is_prepared, read_tfds, stand_in
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.foundation.fields import field, read_section
from pixelcnn_jax.models.inputs import ImageSpec


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig(Preparation):
    """The data set, its splits and their preparation."""

    dataset: str = field("digits", "digits, folder, array, mnist_scenes/32x32, or any TFDS image data set")
    data_dir: str | None = field(None, "folder, .npz file, or data_dir of TFDS; None for the default of TFDS")
    download: bool = field(False, "download and prepare missing TFDS data sets")
    train_split: str = field("train", "training split, e.g. train[:90%] or train[:50000]")
    validation_split: str = field("validation", "split for model selection")
    test_split: str = field("test", "split scored once at the end; empty for none")
    labels: bool = field(False, "add class labels to the images")
    captions: bool = field(False, "add captions to the images (folder and mnist_scenes only)")
    flip: bool = field(False, "mirror half of the training images horizontally")
    shift: int = field(0, "maximum translation of training images in pixels, zero-padded", min=0)
    images_per_class: int = field(1, "number of images of one class that follow each other in a batch", min=1)
    max_examples: int = field(0, "maximum number of same-class examples per image", min=0)
    min_examples: int = field(0, "minimum number of examples per image, or all of a smaller class", min=0)

    def __post_init__(self) -> None:
        if (self.flip or self.patch) and (self.captions or self.max_examples):
            raise InputError(
                "flip and patch must be off with captions, which say where things are, and with max_examples."
            )
        if self.images_per_class > 1 and not self.labels:
            raise InputError("images_per_class above 1 needs labels=True.")


class Splits(NamedTuple):
    """The splits of a run, equal in shape, levels and classes."""

    train: Dataset
    validation: Dataset
    test: Dataset | None = None

    @property
    def held_out(self) -> dict[str, Dataset]:
        """Held-out splits by name."""
        return {"validation": self.validation} | ({"test": self.test} if self.test is not None else {})

    @property
    def spec(self) -> ImageSpec:
        """Shape, levels and classes of the images."""
        return self.train.spec


def load_splits(config: DataConfig) -> Splits:
    """Loads the splits of a run. Warns if held-out images are also trained on.

    Raises:
      InputError: for unavailable splits or different shapes.
    """
    names = ("train", "validation", "test") if config.test_split else ("train", "validation")
    sources = {name: _source(config, getattr(config, f"{name}_split")) for name in names}
    splits = Splits(**{name: _load(config, source) for name, source in sources.items()})
    for name, dataset in splits.held_out.items():
        train, held_out = sources["train"], sources[name]
        if train.stored == held_out.stored and (shared := np.intersect1d(train.rows, held_out.rows).size):
            both = f"{shared:,} images are in both train_split and {name}_split"
            print(f"{both}: their likelihood is not that of held-out images.", file=sys.stderr)
        if dataset.spec != splits.spec:
            specs = (f"{x.description} has {x.spec.shape}, {x.spec.levels} levels" for x in (splits.train, dataset))
            raise InputError(f"The splits must be alike, but {' and '.join(specs)}: set resize, grey or levels.")
    return splits


def load(dataset: str, split: str, **options: Any) -> Dataset:
    """Loads a split, e.g. `load("mnist", "train[:50000]", binarize="dynamic")`.

    Args:
      dataset: "digits", "mnist_scenes/32x32", "folder", "array", or a TFDS name, e.g. "mnist:3.0.1".
      split: A name, a part ("train[-10%:]"), or classes by name or index ("train where label is 3 or 5",
        "train where label is below 100[:90%]").
      **options: Fields of ``config.data``, such as data_dir, resize or labels (``python -m experiments.train --help``
        lists them). Those that split or augment images have no effect here.

    Returns:
      A ``Dataset``, which ``read_all`` reads into arrays.

    Raises:
      InputError: If the data set, split, labels or captions are not available, or an option is unknown.
    """
    if options.get("data_dir") is not None:
        options["data_dir"] = str(options["data_dir"])
    config = read_section(DataConfig, {"dataset": dataset, **options}, name="")
    return _load(config, _source(config, split))


def training_or_stand_in(config: DataConfig) -> Dataset:
    """Loads the training split, or one random image like those of a TFDS set that is not prepared."""
    stored = config.dataset in ("digits", "folder", "array") or config.dataset.startswith("mnist_scenes")
    if stored or is_prepared(config.dataset, config.data_dir):
        return _load(config, _source(config, config.train_split))
    return _load(config, stand_in(config.dataset, labels=config.labels, levels=config.levels))


def _source(config: DataConfig, text: str) -> Source:
    split, data_dir, labels = parse_split(text), config.data_dir, config.labels
    match config.dataset:
        case "digits":
            source = read_digits(split, labels=labels)
        case "folder":
            source = read_folder(split, data_dir=data_dir, labels=labels, captions=config.captions)
        case "array":
            source = read_arrays(split, data_dir=data_dir, labels=labels, levels=config.levels)
        case name:
            read = partial(read_tfds, data_dir=data_dir, download=config.download)
            if name.startswith("mnist_scenes"):
                mnist = partial(read, "mnist", labels=True)
                source = read_scenes(name, split, mnist, labels=labels, captions=config.captions)
            else:
                source = read(name, split, labels=labels)
    if config.captions and source.words is None:
        raise InputError(f"captions need dataset=folder or one of {', '.join(SIZES)}, got dataset={config.dataset}.")
    return source._replace(title=f"{source.title} {text}")


def _load(config: DataConfig, source: Source) -> Dataset:
    images, max_examples, min_examples = prepare_source(source, config), config.max_examples, config.min_examples
    return with_examples(images, max_examples, min_examples) if max_examples or min_examples else images


def prepare_source(source: Source, preparation: Preparation) -> Dataset:
    """Applies the preparation and inspects some images."""
    prepared = preparation.apply(source)
    dynamic_levels = source.levels if preparation.binarize == "dynamic" else None
    whole = {source.levels, max(source.levels, Preparation.levels)}
    whole |= {2, Preparation.levels} if preparation.binarize == "threshold" else set()  # which move no threshold
    if preparation.binarize != "none" and preparation.levels not in whole:
        raise InputError("binarize reads 8 bits (threshold: all stored levels): omit levels, or save images as .npz.")
    height, width, channels = SCANS[preparation.scan](prepared.example(0)["image"]).shape
    spec = ImageSpec(height, width, channels, prepared.levels, prepared.classes, prepared.words, prepared.class_names)
    patch = preparation.patch
    prepared = validated(prepared, levels=dynamic_levels or spec.levels, any_size=patch is not None)
    dataset = Dataset(prepared.reader(), len(prepared.rows), spec, prepared.title, dynamic_levels, preparation.scan)
    ends = [(int(example["image"].min()), int(example["image"].max())) for example in dataset.subset(INSPECTED)]
    if (preparation.binarize != "none" or preparation.bits) and np.ptp(ends) <= bool(dynamic_levels):
        raise InputError(f"binarize or bits leaves {source.title} black or white: for values 0 and 1, set levels=2.")
    return dataset if patch is None else with_patches(dataset, patch, name=lambda i: prepared.name(prepared.rows[i]))
