"""Data sets as integer images: the config group of the data, the three splits of a run, and what loads them.

The sources are scikit-learn's digits, folders of images, NumPy arrays and the image data sets of TensorFlow Datasets
(TFDS), which are read without TensorFlow.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from pixelcnn_jax.data.arrays import array_source, read_arrays
from pixelcnn_jax.data.checks import check_example, check_highest, inspect, written
from pixelcnn_jax.data.digits import read_digits
from pixelcnn_jax.data.folder import read_folder
from pixelcnn_jax.data.preparation import Preparation
from pixelcnn_jax.data.scenes import SCENES, SIZES, WORDS, read_scenes
from pixelcnn_jax.data.source import Example, Source, read_ahead
from pixelcnn_jax.data.splits import parse_split
from pixelcnn_jax.errors import InputError
from pixelcnn_jax.fields import field, read_group
from pixelcnn_jax.models.inputs import ImageSpec


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataConfig(Preparation):
    """The data set, its splits and how its images are prepared."""

    dataset: str = field("digits", "digits, folder, array, mnist_scenes/32x32, or any TFDS image data set")
    data_dir: str | None = field(
        None, "the folder, the .npz file, or where TFDS keeps its data sets (None: its default)"
    )
    download: bool = field(False, "let TFDS download and prepare a data set that is missing")
    train_split: str = field("train", "images to learn from; train[:90%] and train[:50000] name parts")
    validation_split: str = field("validation", "images by which the best parameters are chosen")
    test_split: str = field("test", "images scored once at the end; empty for none")
    labels: bool = field(False, "carry the class of each image")
    captions: bool = field(False, "carry the sentence of each image, of a folder or mnist_scenes/32x32")
    flip: bool = field(False, "mirror half of the training images, left to right")
    shift: int = field(0, "move training images by up to this many pixels, over zeros", least=0)
    images_per_class: int = field(1, "training images of one class that follow one another", least=1)
    examples: int = field(0, "carry 0 to this many other images of the same class with each image", least=0)
    fewest_examples: int = field(0, "smallest number of these, as far as the class has them", least=0)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """One split: integer images by index, prepared for a model.

    Attributes:
      example: reads the image at an index, and its label if labels are carried.
      count: number of images.
      spec: shape, levels and classes of the images.
      description: such as "mnist 3.0.1 train[:50000], resized to 32x32".
      intensities: with dynamic binarisation the number of levels before it; `draw` makes 0 or 1 of them.
    """

    example: Callable[[int], Example]
    count: int
    spec: ImageSpec
    description: str
    intensities: int | None = None

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Example]:
        return read_ahead(self.example, stop=self.count, threads=8)

    def labels(self) -> Int[np.ndarray, " count"]:
        """Returns the class of each image."""
        return np.array([example["label"] for example in self])

    def subset(self, count: int) -> "Dataset":
        """Returns at most ``count`` images, evenly spaced, because data sets are often sorted by class."""
        if count >= len(self):
            return self
        indices = np.arange(count) * len(self) // count
        description = f"{self.description}, {count} of them"
        return dataclasses.replace(
            self, example=lambda i: self.example(int(indices[i])), count=count, description=description
        )

    def draw(self, index: int, *, seed: int) -> Example:
        """Returns an example with dynamic binarisation applied.

        Args:
          index: epoch * len(self) + the index of the image; every epoch has its own random numbers.
          seed: of the random numbers.
        """
        example = self.example(index % self.count)
        if self.intensities is None:
            return example
        uniform = random_generator(seed, index).random(example["image"].shape)
        return example | {"image": uniform * (self.intensities - 1) < example["image"]}

    def stack(self, examples: Sequence[Example]) -> Example:
        """Returns examples as one batch of int32 arrays.

        Raises:
          InputError: for images of another size, values that are not below the levels, and missing labels.
        """
        for example in examples:
            check_example(example, self.spec, description=self.description)
        batch = {name: np.stack([example[name] for example in examples]).astype(np.int32) for name in examples[0]}
        check_highest(int(batch["image"].max()), self.spec.levels, description=self.description)
        return batch


class Splits(NamedTuple):
    """The splits of a run, whose images agree in shape, levels and classes."""

    train: Dataset
    validation: Dataset
    test: Dataset | None = None

    @property
    def held_out(self) -> dict[str, Dataset]:
        """The splits that are not trained on, by their names."""
        return {"validation": self.validation} | ({"test": self.test} if self.test is not None else {})

    @property
    def spec(self) -> ImageSpec:
        """Shape, levels and classes of the images."""
        return self.train.spec


def load_splits(config: DataConfig) -> Splits:
    """Returns the splits of a run.

    Raises:
      InputError: if a split cannot be loaded, or the splits' images differ in shape.
    """
    train, validation = _load_sets(config, config.train_split), _load_sets(config, config.validation_split)
    try:
        test = _load_sets(config, config.test_split) if config.test_split else None
    except InputError as error:
        text = str(error).removesuffix(".")
        raise InputError(f"{text}; an empty config.data.test_split needs no test images.") from None
    splits = Splits(train, validation, test)
    for dataset in splits.held_out.values():
        if dataset.spec != splits.spec:
            mine, theirs = (f"{one.description} has {written(one.spec.shape)}" for one in (splits.train, dataset))
            raise InputError(
                f"The splits differ in the shape of their images, {mine} and {theirs}: set resize or grey."
            )
    return splits


def load(dataset: str, split: str, **options: Any) -> Dataset:
    """Returns one split of a data set, such as `load("mnist", "train[:50000]", binarize="dynamic")`.

    Args:
      dataset: "digits", "folder", "array", or the name of a TFDS data set such as "mnist:3.0.1" or
        "downsampled_imagenet/32x32".
      split: a name; a part such as "train[:50000]", "train[5000:6000]" or "train[-10%:]"; or the images of some
        classes, by name or index: "train where label is 3 or 5", "train where label is below 100[:90%]".
      **options: the other fields of DataConfig.

    Raises:
      InputError: within seconds, if any of this is not available.
    """
    if options.get("data_dir") is not None:
        options["data_dir"] = str(options["data_dir"])
    return _load_sets(read_group(DataConfig, {"dataset": dataset, **options}, name="data"), split)


def image_spec(config: DataConfig) -> ImageSpec:
    """Returns what the training images are like; a TFDS data set need not have been prepared.

    Raises:
      InputError: if TFDS does not know the data set or the size of its images.
    """
    if config.dataset in ("digits", "folder", "array"):
        return _load(config, config.train_split).spec
    from pixelcnn_jax.data.tfds import describe_tfds, is_prepared

    words = None
    if size := SIZES.get(config.dataset):
        shape, classes = (size, size, 1), len(SCENES) if config.labels else None
        words = WORDS if config.captions else None
    elif is_prepared(config.dataset, config.data_dir):
        return _load(config, config.train_split).spec
    else:
        shape, classes = describe_tfds(config.dataset, labels=config.labels)
    black = [{"image": np.zeros(shape, np.uint8)}]
    return _spec_of(config.apply(Source(config.dataset, range(1), lambda _: black, classes=classes, words=words)))


def from_array(
    images: np.ndarray,
    labels: np.ndarray | None = None,
    *,
    levels: int,
    classes: int | None = None,
    description: str = "array",
    **options: Any,
) -> Dataset:
    """Returns a data set made of an array.

    Args:
      images: integers 0 to levels - 1, [count, height, width] or [count, height, width, channels].
      labels: integers [count].
      levels: number of values of a sub-pixel.
      classes: number of classes; by default the largest label plus one.
      description: how the data set is called.
      **options: the other fields of Preparation.

    Raises:
      InputError: if the images or labels have another shape, type or range.
    """
    preparation = read_group(Preparation, {"levels": levels, **options}, name="data")
    return _prepare(array_source(description, images, labels, levels=levels, classes=classes), preparation)


def read_all(dataset: Dataset) -> Example:
    """Returns all images of a data set as evaluation sees them, and their labels, as one batch."""
    return dataset.stack([dataset.draw(index, seed=0) for index in range(len(dataset))])


def take_images(dataset: Dataset, count: int) -> Int[np.ndarray, "count height width channels"]:
    """Returns ``count`` images, evenly spaced, repeating some if the data set is smaller."""
    images = read_all(dataset.subset(count))["image"]
    return images[np.arange(count) % len(images)]


def random_generator(seed: int, index: int) -> np.random.Generator:
    """Returns a generator that depends on the seed and the index alone; the generator of grain's `random_map`."""
    return np.random.Generator(np.random.Philox(seed, counter=[0, 0, 0, index]))


def _load_sets(config: DataConfig, text: str) -> Dataset:
    from pixelcnn_jax.data.examples import with_examples  # here, because it defines a kind of Dataset

    images, most, fewest = _load(config, text), config.examples, config.fewest_examples
    return with_examples(images, most, fewest) if most or fewest else images


def _load(config: DataConfig, text: str) -> Dataset:
    split, data_dir, labels = parse_split(text), config.data_dir, config.labels
    match config.dataset:
        case "digits":
            source = read_digits(split, labels=labels)
        case "folder":
            source = read_folder(split, data_dir=data_dir, labels=labels, captions=config.captions)
        case "array":
            source = read_arrays(split, data_dir=data_dir, labels=labels, levels=config.levels)
        case name:
            from pixelcnn_jax.data.tfds import read_tfds

            read = partial(read_tfds, data_dir=data_dir, download=config.download)
            if name.startswith("mnist_scenes"):
                mnist = partial(read, "mnist", labels=True)
                source = read_scenes(name, split, mnist, labels=labels, captions=config.captions)
            else:
                source = read(name, split, labels=labels)
    if config.captions and source.words is None:
        raise InputError(f"captions need dataset=folder or one of {', '.join(SIZES)}, got dataset={config.dataset}.")
    return _prepare(source._replace(title=f"{source.title} {text}"), config)


def _prepare(source: Source, preparation: Preparation) -> Dataset:
    """Applies the preparation to a source, and inspects some of the resulting images."""
    prepared = preparation.apply(source)
    dynamic = preparation.binarize == "dynamic"
    dataset = Dataset(
        prepared.reader(),
        len(prepared.rows),
        _spec_of(prepared),
        description=prepared.title,
        intensities=source.levels if dynamic else None,
    )
    example = dataset.example if source.files else prepared.example  # few of many images fill no cache
    highest = inspect(prepared, example, dataset.spec, levels=source.levels if dynamic else prepared.levels)
    if preparation.binarize != "none" and highest <= dynamic:
        raise InputError(
            f"binarize={preparation.binarize} leaves {source.title} black: for images of 0 and 1, set levels=2 alone."
        )
    return dataset


def _spec_of(prepared: Source) -> ImageSpec:
    height, width, channels = prepared.example(0)["image"].shape
    return ImageSpec(height, width, channels, prepared.levels, prepared.classes, prepared.words)
