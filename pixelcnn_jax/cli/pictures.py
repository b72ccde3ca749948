"""Image files as the levels of a model, and back."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Integer, UInt8

from pixelcnn_jax.cli.options import Density
from pixelcnn_jax.data.dataset import DataConfig
from pixelcnn_jax.data.image_files import EXTENSIONS, as_levels, as_pixels, decode, find_image_files, read_image
from pixelcnn_jax.data.preparation import SCANS, resize
from pixelcnn_jax.foundation.errors import InputError


def find_images(places: tuple[Path, ...]) -> dict[str, Path]:
    """Returns image files by their names: files that are named, and those in folders, by their path in the folder.

    Raises:
      InputError: if there is no image, or two have one name.
    """
    images: dict[str, Path] = {}
    for place in places:
        named = (
            [(x.relative_to(place), x) for x in find_image_files(place)]
            if place.is_dir()
            else [(Path(place.name), place)]
        )
        for name, file in named:
            if (key := name.as_posix()) in images:
                raise InputError(f"Files must have different names, but {images[key]} and {file} are both {key}.")
            images[key] = file
    if not images:
        raise InputError(f"{', '.join(map(str, places))} must hold images, with names in {' '.join(EXTENSIONS)}.")
    return images


def read_fitted(file: Path, density: Density) -> UInt8[np.ndarray, "height width channels"]:
    """Returns an image file as the model's levels, cropped, resized and reduced as the training images were.

    Raises:
      InputError: for a file that holds no image, and for a model whose images no file holds.
    """
    data, levels = DataConfig(**density.settings("data", DataConfig)), density.model.levels
    height, width, channels = density.spec.shape
    _check_kind(density)
    if data.scan == "columns":
        height, width = width, height
    # Training thresholds the stored levels; resizing and fewer bits are of 8 bits.
    stored = min(256, data.stored_levels) if data.binarize == "threshold" else 256
    image = as_levels(resize(decode(file, colour=channels == 3), height=height, width=width), levels=stored)
    for step in replace(data, grey=False, resize=None).steps(stored).values():
        image = step(image)
    image = SCANS[data.scan](image)
    if _holds_levels(density):
        return _check_levels(file, image, levels)
    return image if data.bits or data.binarize == "threshold" else as_levels(image, levels=levels)


def read_exact(file: Path, density: Density) -> UInt8[np.ndarray, "height width channels"]:
    """Returns the levels that the pixels of an image file stand for, at its own size, to be kept without loss.

    Raises:
      InputError: for a file that holds more than pixels, or a pixel that stands for no level.
    """
    _check_kind(density)
    pixels = read_image(file, channels=density.model.channels)
    if _holds_levels(density):
        return _check_levels(file, pixels, density.model.levels)
    values = as_levels(pixels, levels=density.model.levels)
    strange = pixels[as_pixels(values, levels=density.model.levels) != pixels]
    if strange.size:
        levels = np.arange(density.model.levels)[:, None, None]
        stored = [str(value) for value in as_pixels(levels, levels=len(levels)).flat]
        listed = ", ".join(stored if len(stored) < 6 else [*stored[:3], "...", stored[-1]])
        raise InputError(
            f"{file} holds the value {strange[0]}, but the model's levels are the values {listed}: take a model of 256 "
            "levels, such as cifar10 for files in colour."
        )
    return values


def to_pixels(
    image: Integer[np.ndarray, "height width channels"], density: Density
) -> UInt8[np.ndarray, "height width channels"]:
    """Returns the pixels of a file for levels: the inverse of ``read_exact``."""
    return image.astype(np.uint8) if _holds_levels(density) else as_pixels(image, levels=density.model.levels)


def reoriented(
    image: Integer[np.ndarray, "height width channels"], density: Density
) -> Integer[np.ndarray, "rows columns channels"]:
    """Returns levels inverted and scanned as the model reads them; a second call undoes the first."""
    data = DataConfig(**density.settings("data", DataConfig))
    return SCANS[data.scan](density.model.levels - 1 - image if data.invert else image)


def _holds_levels(density: Density) -> bool:
    """Whether the files of the training images held levels, not intensities: a folder whose values nothing reduced."""
    data = density.settings("data", DataConfig)
    return data.get("dataset") == "folder" and data["bits"] is None and data["binarize"] == "none"


def _check_levels(file: Path, pixels: np.ndarray, levels: int) -> np.ndarray:
    if pixels.max() >= levels:
        raise InputError(f"{file} holds the value {pixels.max()}, but the model's levels are 0 to {levels - 1}.")
    return pixels


def _check_kind(density: Density) -> None:
    channels, levels = density.model.channels, density.model.levels
    if channels not in (1, 3) or levels > 256:
        raise InputError(f"{density.name} must have 1 or 3 channels of at most 256 levels to read image files.")
