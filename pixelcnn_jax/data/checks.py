"""Checks of the images of a data set."""

from pixelcnn_jax.data.source import Example, Source
from pixelcnn_jax.foundation.errors import InputError


def validated(source: Source, *, levels: int) -> Source:
    """Checks images as they are read.

    Refused: shapes unlike the first, values not below ``levels``, missing labels (-1 in TFDS).
    """
    shape = source.example(0)["image"].shape

    def name(row: int) -> str:
        return str(source.files[row]) if source.files else f"image {row}"

    def read(row: int) -> Example:
        example = source.read(row)
        image = example["image"]
        if image.shape != shape:
            different = f"{name(source.rows[0])} is {shape} and {name(row)} is {image.shape}"
            remedy = "grey" if image.shape[:2] == shape[:2] else "resize"
            raise InputError(f"The images of {source.title} differ in shape, {different}: set {remedy}.")
        if (highest := int(image.max())) >= levels:
            values = f"{name(row)} of {source.title} holds the value {highest}, above levels={levels}"
            raise InputError(f"{values}: set levels, bits or binarize.")
        if source.classes is not None and not 0 <= example["label"] < source.classes:
            raise InputError(f"{name(row)} of {source.title} has no label: set labels=False or choose other images.")
        return example

    return source._replace(read=read)
