"""Conversion between image files and a model's levels."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Integer, UInt8

from pixelcnn_jax.cli.options import Density
from pixelcnn_jax.data.arrays import DIGITS_LEVELS
from pixelcnn_jax.data.image_files import EXTENSIONS, as_levels, as_pixels, decode, find_image_files, read_image
from pixelcnn_jax.data.preparation import SCANS, resize
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.checks import check_values


def find_images(places: tuple[Path, ...]) -> dict[str, Path]:
    """Finds image files by name, in folders by relative path.

    Raises:
      InputError: for no images or equal names.
    """
    images: dict[str, Path] = {}
    for place in places:
        root, files = (place, find_image_files(place)) if place.is_dir() else (place.parent, [place])
        for file in files:
            name = file.relative_to(root).as_posix()
            if name in images:
                raise InputError(f"Files must have different names, but {images[name]} and {file} are both {name}.")
            images[name] = file
    if not images:
        raise InputError(f"No images found in {', '.join(map(str, places))}: names end in {' '.join(EXTENSIONS)}.")
    return images


def read_fitted(file: Path, density: Density) -> UInt8[np.ndarray, "height width channels"]:
    """Reads an image file, prepared as the training images.

    Raises:
      InputError: for no image, or a model whose images no file holds.
    """
    data, levels = density.data, density.model.levels
    height, width, channels = density.spec.shape
    _check_kind(density)
    if data.scan == "columns":
        height, width = width, height
    # Training thresholds and inverts stored levels; bits and random binarisation apply to 8 bits.
    if data.binarize == "threshold":
        stored = {"digits": DIGITS_LEVELS, "array": min(256, data.levels)}.get(data.dataset, 256)
    else:
        stored = 256 if data.bits or data.binarize == "dynamic" or _holds_levels(density) else levels
    image = as_levels(resize(decode(file, colour=channels == 3), height=height, width=width), levels=stored)
    for step in replace(data, grey=False, resize=None).steps(stored).values():
        image = step(image)
    image = SCANS[data.scan](image)
    if _holds_levels(density):
        check_values(image, levels, name=str(file))
        return image
    return as_levels(image, levels=levels) if data.binarize == "dynamic" else image


def read_exact(file: Path, density: Density) -> UInt8[np.ndarray, "height width channels"]:
    """Reads the levels of an image file losslessly, at its own size.

    Raises:
      InputError: for contents beyond pixels, or intermediate values.
    """
    _check_kind(density)
    pixels, levels = read_image(file, channels=density.model.channels), density.model.levels
    if _holds_levels(density):
        check_values(pixels, levels, name=str(file))
        return pixels
    values = as_levels(pixels, levels=levels)
    strange = pixels[as_pixels(values, levels=levels) != pixels]
    if strange.size:
        raise InputError(
            f"{file} contains the value {strange[0]}, which is not one of the {levels} levels of the model: use a "
            "model with 256 levels, such as cifar10 for colour images."
        )
    return values


def to_pixels(
    image: Integer[np.ndarray, "height width channels"], density: Density
) -> UInt8[np.ndarray, "height width channels"]:
    """Converts levels to pixels: the inverse of ``read_exact``."""
    return image.astype(np.uint8) if _holds_levels(density) else as_pixels(image, levels=density.model.levels)


def reoriented(
    image: Integer[np.ndarray, "height width channels"], density: Density
) -> Integer[np.ndarray, "rows columns channels"]:
    """Inverts and scans levels as the model reads them; an involution."""
    return SCANS[density.data.scan](density.model.levels - 1 - image if density.data.invert else image)


def _holds_levels(density: Density) -> bool:
    """Whether training files held levels, not intensities."""
    data = density.data
    return data.dataset == "folder" and data.bits is None and data.binarize == "none"


def _check_kind(density: Density) -> None:
    channels, levels = density.model.channels, density.model.levels
    if channels not in (1, 3) or levels > 256:
        raise InputError(f"{density.name} must have 1 or 3 channels of at most 256 levels to read image files.")
