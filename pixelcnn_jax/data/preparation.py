"""Preparation of stored images: grey, resize, inversion, bit depth, threshold; random draws are in ``dataset.py``."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import PIL.Image
from jaxtyping import UInt

from pixelcnn_jax.data.source import Example, Source
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.foundation.fields import field


def unchanged(image: np.ndarray) -> np.ndarray:
    """Identity."""
    return image


BINARISATIONS = ("none", "threshold", "dynamic")
# Applied last to [..., height, width, channels], and once more before images are shown.
SCANS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "rows": unchanged,
    "columns": lambda image: image.swapaxes(-3, -2),
    "backwards": lambda image: image[..., ::-1, ::-1, :],
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preparation:
    """Conversion of stored images to those of a model."""

    levels: int = field(256, "intensity levels per sub-pixel (digits: 17)", min=2, max=2**16)
    bits: int | None = field(None, "highest bits to keep of 8-bit images", min=1, max=8)
    binarize: str = field("none", "none, threshold, or dynamic (new Bernoulli draws each epoch)", choices=BINARISATIONS)
    resize: int | None = field(None, "width and height after a centre crop; None keeps the size", min=1)
    height: int | None = field(None, "height after a centre crop, if it is not the width", min=1)
    grey: bool = field(False, "convert to grey")
    invert: bool = field(False, "invert intensities")
    patch: int | None = field(None, "side of patches: at random places in training, on a grid in evaluation", min=1)
    scan: str = field("rows", "order: rows, columns (transposed) or backwards (rotated by 180°)", choices=tuple(SCANS))

    def steps(self, stored: int) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
        """Builds the transforms before the scan, by description.

        Args:
          stored: intensity levels as stored.

        Raises:
          InputError: for ``bits`` with binarised or other than 8-bit images, or ``height`` without ``resize``.
        """
        if self.height and not self.resize:
            raise InputError("height needs resize, which is the width.")
        if self.bits and (self.binarize != "none" or stored != 256):
            raise InputError(f"bits={self.bits} needs 8-bit images and binarize=none: set one of bits and binarize.")
        steps: dict[str, Callable[[np.ndarray], np.ndarray]] = {}
        if self.grey:
            steps["grey"] = luma
        if width := self.resize:
            height = self.height or width
            steps[f"resized to {height}x{width}"] = lambda image: resize(image, height=height, width=width)
        if self.invert:
            top = (stored if self.bits or self.binarize != "none" else min(stored, self.levels)) - 1
            steps["inverted"] = lambda image: (top - image).astype(image.dtype)
        if bits := self.bits:
            steps[f"reduced to {bits} bits"] = lambda image: image >> (8 - bits)
        if self.binarize == "threshold":
            threshold = (stored + 1) // 2
            steps[f"binarised at {threshold}"] = lambda image: (image >= threshold).astype(np.uint8)
        if self.binarize == "dynamic":
            steps["binarised at random"] = unchanged  # drawn when a batch is read
        return steps

    def apply(self, source: Source) -> Source:
        """Prepares a source, not yet scanned."""
        steps = self.steps(source.levels)

        def read(row: int) -> Example:
            example = source.read(row)
            for step in steps.values():
                example = example | {"image": step(example["image"])}
            return example

        title = ", ".join([source.title, *steps, *([f"scan={self.scan}"] if self.scan != "rows" else [])])
        left = 2 if self.binarize != "none" else 2**self.bits if self.bits else source.levels
        if source.levels < self.levels != Preparation.levels:  # the default asks for nothing
            raise InputError(f"levels={self.levels} must be at most the {source.levels} of {source.title}.")
        return source._replace(title=title, read=read, levels=min(self.levels, left))


def validated(source: Source, *, levels: int, any_size: bool = False) -> Source:
    """Checks images as they are read.

    Rejected are shapes unlike the first, or channels if ``any_size``, values not below ``levels``, missing labels (-1
    in TFDS).
    """
    name, compared = source.name, slice(2 if any_size else 0, None)
    shape = source.example(0)["image"].shape

    def read(row: int) -> Example:
        example = source.read(row)
        image = example["image"]
        if image.shape[compared] != shape[compared]:
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


def luma(image: Any) -> Any:
    """Computes ITU-R 601-2 luma (NumPy or JAX), bit-identical to Pillow's."""
    if image.shape[-1] == 1:
        return image
    if image.shape[-1] != 3:
        raise InputError(f"grey needs images of 1 or 3 channels, got {image.shape[-1]}: set grey=False.")
    weights = np.array([19595, 38470, 7471], np.uint32)  # 65,536 levels need all 32 bits
    return (image.astype(np.uint32) @ weights + 2**15 >> 16).astype(image.dtype)[..., None]


def resize(
    image: UInt[np.ndarray, "rows columns channels"], *, height: int, width: int
) -> UInt[np.ndarray, "{height} {width} channels"]:
    """Centre-crops to the aspect ratio, then resizes by area (Pillow's BOX)."""
    rows, columns, _ = image.shape
    scale = min(rows / height, columns / width)
    top, left = max(rows - scale * height, 0) / 2, max(columns - scale * width, 0) / 2
    window = (left, top, columns - left, rows - top)
    channels = [PIL.Image.fromarray(channel) for channel in np.moveaxis(image, -1, 0)]
    resized = [channel.resize((width, height), PIL.Image.Resampling.BOX, window) for channel in channels]
    return np.stack([np.asarray(channel) for channel in resized], axis=-1)
