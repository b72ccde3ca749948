"""Checks that the images of a data set are what its spec says, before training and in every batch."""

import math
from collections.abc import Callable

from pixelcnn_jax.data.source import Example, Source, read_ahead
from pixelcnn_jax.errors import InputError
from pixelcnn_jax.models.inputs import ImageSpec

INSPECTED = 256  # number of images that are inspected, unless they are files


def inspect(source: Source, example: Callable[[int], Example], spec: ImageSpec, *, levels: int) -> int:
    """Returns the highest value in some images; in all of them if they are files, which decodes them.

    Args:
      source: the split.
      example: reads the image at an index.
      spec: what the images should be like.
      levels: number of values; more than the spec's before dynamic binarisation.

    Raises:
      InputError: for images of another size, values that are not below the levels, and missing labels.
    """
    indices = range(0, len(source.rows), 1 if source.files else math.ceil(len(source.rows) / INSPECTED))

    def name(index: int) -> str:
        return str(source.files[source.rows[index]]) if source.files else f"image {index}"

    highest = 0
    for index, read in zip(
        indices, read_ahead(lambda i: example(indices[i]), stop=len(indices), threads=8), strict=True
    ):
        check_example(read, spec, description=source.title, names=(name(0), name(index)))
        highest = max(highest, int(read["image"].max()))
    check_highest(highest, levels, description=source.title)
    return highest


def check_example(
    example: Example, spec: ImageSpec, *, description: str, names: tuple[str, str] = ("one", "another")
) -> None:
    """Raises InputError for an image of another size, and for a missing label, which TFDS marks by -1."""
    if (shape := example["image"].shape) != spec.shape:
        first, other = (f"{name} is {written(size)}" for name, size in zip(names, (spec.shape, shape), strict=True))
        raise InputError(f"The images of {description} differ in size, {first} and {other}: set resize.")
    if spec.classes is not None and not 0 <= example["label"] < spec.classes:
        raise InputError(f"{description} has images without a label: set labels=False or choose another split.")


def check_highest(highest: int, levels: int, *, description: str) -> None:
    """Raises InputError for a value that is not below the number of levels."""
    if highest >= levels:
        raise InputError(
            f"{description} holds the value {highest}, above levels={levels}: set levels, bits or binarize."
        )


def written(shape: tuple[int, ...]) -> str:
    """Returns a shape as "32x32x3"."""
    return "x".join(map(str, shape))
