"""``Dataset``, one split as integer images by index, with what is drawn anew in each epoch (dynamic binarisation)."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Int

from pixelcnn_jax.data.preparation import SCANS, unchanged
from pixelcnn_jax.data.source import Example, Reader, read_ahead
from pixelcnn_jax.models.inputs import ImageSpec

Augment = Callable[[np.ndarray], np.ndarray]
CROPS = 2**61  # random stream of the crops, apart from the binarisation's


@dataclasses.dataclass(frozen=True)
class Dataset:
    """One split: integer images by index, prepared for a model.

    Attributes:
      example: Reads an image by its index, with its label if there is one. It is resized and converted, but not yet
        cut, binarised at random, augmented and ordered, as ``get`` returns it. Of a set of patches, it also returns the
        "corner" at which ``get`` cuts the patch.
      count: Number of images.
      spec: Shape, levels and classes.
      description: Such as "mnist 3.0.1 train[:50000], resized to 32x32".
      dynamic_levels: Number of levels of images that ``get`` binarises at random; None if it does not.
      scan: Pixel order, a key of ``SCANS``.
    """

    example: Reader
    count: int
    spec: ImageSpec
    description: str
    dynamic_levels: int | None = None
    scan: str = "rows"

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Example]:
        """Reads all images by ``example``: prepared, but not yet cut, binarised at random or ordered."""
        return read_ahead(self.example, stop=self.count, threads=8)

    def labels(self) -> Int[np.ndarray, " count"]:
        """Reads all class labels."""
        return np.array([example["label"] for example in self])

    def subset(self, count: int) -> "Dataset":
        """Selects at most ``count`` images, evenly spaced."""
        if count >= len(self):
            return self
        return self.take(np.arange(count) * len(self) // count, f"{self.description}, {count} of them")

    def get(self, index: int, *, seed: int, augment: Augment | None = None) -> Example:
        """Draws an example: cut if it is a patch, binarised if that is random, augmented, and ordered by ``scan``.

        Args:
          index: The epoch times ``len(self)`` plus the index of the image.
          seed: Seed of the random numbers.
          augment: In training, a function of the image before its pixels are ordered by ``scan``; a patch is then cut
            at random. None otherwise; a patch is then cut at its place in the grid.

        Returns:
          A dict with "image", of shape [height, width, channels], and whatever else ``example`` reads, except "corner".
        """
        example = self.example(index % self.count)
        image, corner = example["image"], example.pop("corner", None)
        if corner is not None:
            side = self.spec.height
            if augment is not None:
                outside = np.subtract(image.shape[:2], side)
                corner = random_generator(seed, CROPS + index).integers(0, outside, endpoint=True)
            image = image[corner[0] : corner[0] + side, corner[1] : corner[1] + side]
        if self.dynamic_levels is not None:
            image = random_generator(seed, index).random(image.shape) * (self.dynamic_levels - 1) < image
        return example | {"image": SCANS[self.scan]((augment or unchanged)(image))}

    def with_arrays(self, **arrays: np.ndarray) -> "Dataset":
        """Adds a row of each array, such as "h", to each image."""

        return dataclasses.replace(self, example=lambda i: self.example(i) | {name: x[i] for name, x in arrays.items()})

    def take(self, indices: Int[np.ndarray, " count"], description: str) -> "Dataset":
        """Selects images or patches of the grid by index."""

        def example(index: int) -> Example:
            return self.example(int(indices[index]))

        return dataclasses.replace(self, example=example, count=len(indices), description=description)


def stack(examples: Sequence[Example]) -> Example:
    """Stacks examples into a batch; integers become int32."""
    stacked = {name: np.stack([example[name] for example in examples]) for name in examples[0]}
    return {name: x.astype(np.int32) if x.dtype.kind in "bui" else x for name, x in stacked.items()}


def read_all(dataset: Dataset) -> Example:
    """Reads all images of a data set.

    Args:
      dataset: The data set, such as a split from ``load``.

    Returns:
      A dict with "image", int32 of shape [count, height, width, channels], and further arrays if the data set has them,
      such as "label", int32 of shape [count].
    """
    return stack([dataset.get(index, seed=0) for index in range(len(dataset))])


def take_images(dataset: Dataset, count: int) -> Int[np.ndarray, "count height width channels"]:
    """Reads evenly spaced images.

    Args:
      dataset: The data set, such as a split from ``load``.
      count: Number of images. If the data set has fewer, they are repeated.

    Returns:
      The images, int32 of shape [count, height, width, channels].
    """
    images = read_all(dataset.subset(count))["image"]
    return images[np.arange(count) % len(images)]


def random_generator(seed: int, index: int) -> np.random.Generator:
    """Makes a generator from seed and index."""
    return np.random.Generator(np.random.Philox(seed, counter=[0, 0, 0, index]))
