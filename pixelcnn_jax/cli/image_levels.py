"""Conversion between image files and a model's levels."""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import Integer

from pixelcnn_jax.cli.options import Density
from pixelcnn_jax.data import image_files, pictures
from pixelcnn_jax.data.arrays import DIGITS_LEVELS
from pixelcnn_jax.data.measurement_files import MAX_LEVELS
from pixelcnn_jax.data.patches import grid_corners
from pixelcnn_jax.data.preparation import SCANS, resize
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.checks import check_values

Levels = Integer[np.ndarray, "_ _ channels"]  # of one image


def find_images(places: tuple[Path, ...]) -> dict[str, Path]:
    """Finds image files by name, in folders by relative path; image 7 of a stack FILE is called FILE/7.

    Raises:
      InputError: for no images or equal names.
    """
    images: dict[str, Path] = {}
    for place in places:
        above = place.parent if place.parent.is_dir() else place.parent.parent  # of an image in a stack
        root, files = (place, image_files.find_image_files(place)) if place.is_dir() else (above, [place])
        for file in (image for stack in files for image in image_files.images_in(stack)):
            name = file.relative_to(root).as_posix()
            if name in images:
                raise InputError(f"Files must have different names, but {images[name]} and {file} are both {name}.")
            images[name] = file
    if not images:
        raise InputError(
            f"No images found in {', '.join(map(str, places))}: names end in {' '.join(image_files.EXTENSIONS)}."
        )
    return images


def read_fitted(file: Path, density: Density) -> image_files.Pixels:
    """Reads an image file, prepared as the training images.

    Raises:
      InputError: for no image, one of several patches, or a model whose images no file holds.
    """
    first, *others = read_patches(file, density)
    if others:
        raise InputError(f"{file} must be as large as the images of {density.name}, {density.spec.shape[:2]}: crop it.")
    return first


def read_patches(file: Path, density: Density) -> list[image_files.Pixels]:
    """Reads an image file, prepared as the training images: one image, or the patches of a grid.

    Counts and other levels are cut into patches of the size of the model: resizing them would change their noise.

    Raises:
      InputError: as ``read_fitted``, or for an image smaller than a patch.
    """
    data, levels, (height, width, channels) = density.data, density.spec.levels, density.spec.shape
    _check_kind(density)
    if data.scan == "columns":
        height, width = width, height
    pixels = image_files.decode(file, colour=channels == 3, counts=levels > 256 or None)
    counts = pixels.dtype == np.uint16 or levels > 256 or (levels < 256 and _holds_levels(density))
    if pixels.shape[-1] != channels:
        raise InputError(f"{file} is a grey image of counts, and {density.name} needs {channels} channels.")
    # Training thresholds and inverts stored levels; bits and random binarisation apply to 8 bits.
    # For a model of at most 256 levels, 16 bits are levels, as `decompress` writes them, or as in an array of training.
    if pixels.dtype == np.uint16 and levels <= 256 and (data.dataset == "folder" or pixels.max() < levels):
        data, stored = replace(data, binarize="none", bits=None), levels
    elif counts:
        stored = {"folder": MAX_LEVELS, "digits": DIGITS_LEVELS}.get(data.dataset, data.levels)
        check_values(pixels, max(stored, levels), name=str(file))
    elif data.binarize == "threshold":
        stored = {"digits": DIGITS_LEVELS, "array": min(256, data.levels)}.get(data.dataset, 256)
    else:
        stored = 256 if data.bits or data.binarize == "dynamic" or _holds_levels(density) else levels
    if not (counts or _holds_levels(density)) and 0 < pixels.max() < levels < 256:
        print(f"{file} has no value above {pixels.max()}: if these are levels, save them as .npy.", file=sys.stderr)
    if not counts and data.patch is None:
        pixels = resize(pixels, height=height, width=width)
    elif data.resize is not None:
        pixels = resize(pixels, height=data.height or data.resize, width=data.resize)
    image = pixels if counts else pictures.as_levels(pixels, levels=stored)
    for step in replace(data, grey=False, resize=None, height=None).steps(stored).values():
        image = step(image)
    if counts or _holds_levels(density):
        check_values(image, levels, name=str(file))
    elif data.binarize == "dynamic":
        image = pictures.as_levels(image, levels=levels)
    corners, scan = grid_corners(image.shape, (height, width), name=str(file)), SCANS[data.scan]
    return [scan(image[top : top + height, left : left + width]) for top, left in corners]


def stored_name(name: str) -> str:
    """Names an image as it is written: .npy if it was in such a file, else .png."""
    path = Path(name)
    if path.parent.suffix.lower() == ".npy" and path.name.isdecimal():
        return f"{path.parent.with_suffix('.npy').as_posix()}/{path.name}.npy"
    return path.with_suffix(".npy" if path.suffix.lower() == ".npy" else ".png").as_posix()


def join_stacks(folder: Path) -> None:
    """Joins the images 0.npy, 1.npy and so on of each folder STACK.npy, if all are alike, into a file of this name."""
    for stack in [path for path in folder.rglob("*.npy") if path.is_dir()]:
        files = [stack / f"{i}.npy" for i in range(len([*stack.iterdir()]))]
        images = [np.load(file) for file in files if file.is_file()]
        if len(images) == len(files) and len({image.shape for image in images}) == 1:
            shutil.rmtree(stack)
            np.save(stack, images)


def read_exact(file: Path, density: Density) -> image_files.Pixels:
    """Reads the levels of an image file losslessly, at its own size.

    Raises:
      InputError: for contents beyond pixels, or intermediate values.
    """
    _check_kind(density)
    pixels, levels = image_files.read_image(file, channels=density.spec.channels), density.spec.levels
    if _holds_levels(density, stored_name(str(file))):
        check_values(pixels, levels, name=str(file))
        return pixels.astype(np.uint16) if levels > 256 else pixels
    if pixels.dtype == np.uint16:
        raise InputError(f"{file} holds counts, and {density.name} was trained on intensities: save it as .npy.")
    values = pictures.as_levels(pixels, levels=levels)
    strange = pixels[pictures.as_pixels(values, levels=levels) != pixels]
    if strange.size:
        raise InputError(
            f"{file} contains the value {strange[0]}, which is not one of the {levels} levels of the model: use a "
            "model with 256 levels, such as cifar10 for colour images."
        )
    return values


def to_pixels(image: Levels, density: Density, name: str = "") -> image_files.Pixels:
    """Converts levels to the pixels of a file of this name: the inverse of ``read_exact``."""
    if not _holds_levels(density, name):
        return pictures.as_pixels(image, levels=density.spec.levels)
    return image.astype(np.uint8 if density.spec.levels <= 256 else np.uint16)


def reoriented(image: Levels, density: Density) -> Levels:
    """Inverts and scans levels as the model reads them; an involution."""
    return SCANS[density.data.scan](density.spec.levels - 1 - image if density.data.invert else image)


def _holds_levels(density: Density, name: str = "") -> bool:
    """Whether files, or one of this name, hold levels and not intensities."""
    data, arrays = density.data, name.endswith(".npy") or density.spec.levels > 256
    return arrays or (data.dataset == "folder" and data.bits is None and data.binarize == "none")


def _check_kind(density: Density) -> None:
    channels, levels = density.spec.channels, density.spec.levels
    if channels != 1 and (channels != 3 or levels > 256):
        raise InputError(f"{density.name} must have 1 channel, or 3 of at most 256 levels, to read image files.")
