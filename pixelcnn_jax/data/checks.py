"""Checks of the images of a data set: of every one when it is read, of some before training."""

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

from pixelcnn_jax.data.source import Example, Source, read_ahead
from pixelcnn_jax.foundation.errors import InputError

INSPECTED = 256  # number of images that are looked at before training

Item = TypeVar("Item")


def some(items: Sequence[Item]) -> Sequence[Item]:
    """Returns at most ``INSPECTED`` of the items, evenly spaced."""
    return items[:: math.ceil(len(items) / INSPECTED)]


def highest_of_some(read: Callable[[int], Example], count: int) -> int:
    """Returns the highest value in some of the images of a split."""
    indices = some(range(count))
    examples = read_ahead(lambda i: read(indices[i]), stop=len(indices), threads=8)
    return max(int(example["image"].max()) for example in examples)


def checked(source: Source, *, levels: int) -> Source:
    """Returns a source that names an image that it refuses when it reads it.

    Refused are images that differ in shape from the first, values that are not below ``levels``, and a missing label,
    which TFDS marks by -1.
    """
    shape = source.example(0)["image"].shape

    def name(row: int) -> str:
        return str(source.files[row]) if source.files else f"image {row}"

    def check(row: int, example: Example) -> Example:
        image = example["image"]
        if image.shape != shape:
            different = f"{name(source.rows[0])} is {written(shape)} and {name(row)} is {written(image.shape)}"
            remedy = "grey" if image.shape[:2] == shape[:2] else "resize"
            raise InputError(f"The images of {source.title} differ in shape, {different}: set {remedy}.")
        if (highest := int(image.max())) >= levels:
            values = f"{name(row)} of {source.title} holds the value {highest}, above levels={levels}"
            raise InputError(f"{values}: set levels, bits or binarize.")
        if source.classes is not None and not 0 <= example["label"] < source.classes:
            raise InputError(f"{name(row)} of {source.title} has no label: set labels=False or choose other images.")
        return example

    return source._replace(read=lambda rows: [check(*pair) for pair in zip(rows, source.read(rows), strict=True)])


def written(shape: tuple[int, ...]) -> str:
    """Returns a shape as "32x32x3"."""
    return "x".join(map(str, shape))
