"""Pictures: image files as levels and back, grids of images, learning curves."""

from pathlib import Path

import numpy as np
from jaxtyping import Array, Integer, UInt8

from pixelcnn_jax.data.sources import has_more_bits
from pixelcnn_jax.errors import InputError


def as_pixels(
    images: Integer[np.ndarray | Array, "*batch height width channels"], *, levels: int
) -> UInt8[np.ndarray, "*batch height width channels"]:
    """Levels as intensities 0 to 255; up to 256 levels stay apart."""
    return np.round(np.asarray(images) * (255 / (levels - 1))).astype(np.uint8)


def as_levels(
    pixels: UInt8[np.ndarray, "*batch height width channels"], *, levels: int
) -> UInt8[np.ndarray, "*batch height width channels"]:
    """Intensities 0 to 255 as the nearest levels: what ``as_pixels`` made of 2 to 256 levels comes back."""
    return np.round(pixels * ((levels - 1) / 255)).astype(np.uint8)


def read_image(path: Path, *, channels: int) -> UInt8[np.ndarray, "height width channels"]:
    """The pixels of an image file, as they are stored, for a model of 1 or 3 channels.

    Raises InputError for a file that is no image, and for one that holds more than such pixels: transparency, a
    palette, colours for a model of grey, more than 8 bits, several pictures, a note that it lies on its side.
    """
    from PIL import Image

    modes = {1: ("1", "L"), 3: ("RGB",)}
    if channels not in modes:
        raise InputError(f"Image files have 1 or 3 channels, but this model {channels}.")
    try:
        with Image.open(path) as image:
            mode = image.mode
            more = {  # asked before the pixels are decoded, for then Pillow forgets how they were stored
                "transparency": "transparency" in image.info,
                "more than 8 bits": has_more_bits(image),
                "several pictures": getattr(image, "n_frames", 1) > 1,
                "a note to turn it": image.getexif().get(0x0112, 1) != 1,
            }
            pixels = np.asarray(image.convert("RGB" if channels == 3 else "L"))
    except Exception as error:  # Pillow raises half a dozen kinds for broken files
        raise InputError(f"{path} cannot be read, {error}: repair or remove it.") from error
    if mode not in modes[channels]:
        wanted = " or ".join(modes[channels])
        raise InputError(f"{path} is of Pillow's mode {mode}, but the pixels of this model are {wanted}: convert it.")
    for what, there in more.items():
        if there:
            raise InputError(f"{path} holds {what}, which would be lost: convert it.")
    return pixels.reshape(*pixels.shape[:2], channels)


def write_image(path: Path, pixels: UInt8[np.ndarray, "height width channels"]) -> None:
    """Writes an image of 1 or 3 channels as PNG."""
    from PIL import Image

    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(path, format="PNG")


def grid(
    images: Integer[np.ndarray | Array, "rows columns height width channels"], *, levels: int, gap: int = 1
) -> UInt8[np.ndarray, "grid_height grid_width colours"]:
    """Lays images out in rows and columns, ``gap`` grey pixels apart; levels become 0 to 255.

    Three channels are shown as RGB; of any other number the first channel is shown, as grey.
    """
    images = np.asarray(images)
    if images.shape[-1] != 3:
        images = images[..., :1]
    scaled = as_pixels(images, levels=levels)
    rows, columns, height, width, colours = scaled.shape
    framed = np.full((rows, columns, height + gap, width + gap, colours), 128, np.uint8)
    framed[:, :, gap:, gap:] = scaled
    flat = framed.transpose(0, 2, 1, 3, 4).reshape(rows * (height + gap), columns * (width + gap), colours)
    return np.pad(flat, ((0, gap), (0, gap), (0, 0)), constant_values=128)


def save_grid(
    path: Path,
    images: Integer[np.ndarray | Array, "rows columns height width channels"],
    *,
    levels: int,
    size: int = 640,
) -> None:
    """Writes a grid as PNG, small images enlarged by a whole number to about ``size`` pixels, so that pixels show."""
    pixels = grid(images, levels=levels)
    scale = max(1, round(size / max(pixels.shape[:2])))
    write_image(path, pixels.repeat(scale, axis=0).repeat(scale, axis=1))
