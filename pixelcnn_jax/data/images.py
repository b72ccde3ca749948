"""One split as integer images by index: drawn for a batch, subsampled, stacked."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Int

from pixelcnn_jax.data.preparation import SCANS, unchanged
from pixelcnn_jax.data.source import Example, read_ahead
from pixelcnn_jax.models.inputs import ImageSpec

Augment = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Dataset:
    """One split: integer images by index, prepared for a model.

    Attributes:
      example: reads the image at an index as a person sees it, and its label if labels are carried.
      count: number of images.
      spec: shape, levels and classes of the images that `draw` returns.
      description: such as "mnist 3.0.1 train[:50000], resized to 32x32".
      intensities: with dynamic binarisation the number of levels before it; `draw` makes 0 or 1 of them.
      scan: the order in which a model reads the pixels, a key of ``SCANS``.
    """

    example: Callable[[int], Example]
    count: int
    spec: ImageSpec
    description: str
    intensities: int | None = None
    scan: str = "rows"

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
        return self.take(np.arange(count) * len(self) // count, f"{self.description}, {count} of them")

    def draw(self, index: int, *, seed: int, augment: Augment = unchanged) -> Example:
        """Returns an example as the model reads it: binarised if that is random, augmented, then scanned.

        Args:
          index: epoch * len(self) + the index of the image; every epoch has its own random numbers.
          seed: of the random numbers.
          augment: changes an image as a person sees it.
        """
        example = self.example(index % self.count)
        image = example["image"]
        if self.intensities is not None:
            image = random_generator(seed, index).random(image.shape) * (self.intensities - 1) < image
        return example | {"image": SCANS[self.scan](augment(image))}

    def carry(self, **arrays: np.ndarray) -> "Dataset":
        """Returns the data set with a row of each array, such as "h", carried with each image."""

        def example(index: int) -> Example:
            return self.example(index) | {name: array[index] for name, array in arrays.items()}

        return dataclasses.replace(self, example=example)

    def take(self, indices: Int[np.ndarray, " count"], description: str) -> "Dataset":
        """Returns the images at some indices, in their order."""
        return dataclasses.replace(
            self, example=lambda i: self.example(int(indices[i])), count=len(indices), description=description
        )

    def stack(self, examples: Sequence[Example]) -> Example:
        """Returns examples as one batch of arrays; integers as int32."""
        stacked = {name: np.stack([example[name] for example in examples]) for name in examples[0]}
        return {name: x.astype(np.int32) if x.dtype.kind in "bui" else x for name, x in stacked.items()}


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
