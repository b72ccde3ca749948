"""Writing images: levels as intensities, PNG files, and grids of images for people."""

import io
import pathlib
import sys

import numpy as np
import PIL.Image
from jaxtyping import Array, Integer, UInt8

from pixelcnn_jax.data.image_files import Pixels
from pixelcnn_jax.foundation.files import atomic_write

PERCENTILES = (1, 99)  # of the values that a picture of counts shows from black to white
Levels = Integer[np.ndarray | Array, "*batch height width channels"]
Intensities = UInt8[np.ndarray, "*batch height width channels"]
Grid = Integer[np.ndarray | Array, "rows columns height width channels"]


def write_image(path: pathlib.Path, pixels: Pixels) -> None:
    """Writes a PNG, or the array if the name ends in .npy, not atomically."""
    with path.open("xb") as file:
        if path.suffix == ".npy":
            np.save(file, pixels[..., 0])
        else:
            file.write(as_png(pixels))


def as_png(pixels: Pixels, *, optimize: bool = False, bits: int = 8) -> bytes:
    """Encodes a PNG, of 16 bits for uint16; black and white may have 1 bit per pixel."""
    content, picture = io.BytesIO(), PIL.Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    (picture.convert("1") if bits == 1 else picture).save(content, "PNG", optimize=optimize)
    return content.getvalue()


def png_bits_per_dim(image: Integer[np.ndarray | Array, "height width channels"], *, levels: int) -> float:
    """Computes the PNG size in bits/dim: of 1 bit for binary images, and of 16 for more than 256 levels.

    No PNG has colours of 16 bits in Pillow: there, the channels are stacked.
    """
    if levels > 256:
        pixels = np.moveaxis(np.asarray(image, np.uint16), -1, 0).reshape(-1, image.shape[1], 1)
    else:
        pixels = as_pixels(image, levels=levels)
    bits = 1 if levels == 2 and image.shape[-1] == 1 else 8
    return 8 * len(as_png(pixels, optimize=True, bits=bits)) / image.size


def as_pixels(images: Levels, *, levels: int) -> Intensities:
    """Converts levels to intensities 0 to 255."""
    return np.round(np.asarray(images) * (255 / (levels - 1))).astype(np.uint8)


def as_levels(pixels: Intensities, *, levels: int) -> Intensities:
    """Rounds intensities to levels; the inverse of `as_pixels` for 2 to 256 levels."""
    return np.round(pixels * ((levels - 1) / 255)).astype(np.uint8)


def grid(images: Grid, *, levels: int, gap: int = 1) -> UInt8[np.ndarray, "grid_height grid_width colours"]:
    """Arranges images in a grid, ``gap`` grey pixels apart.

    Three channels are RGB; otherwise only the first is shown. Of more than 256 levels, those between two percentiles
    are shown, which stderr names.
    """
    images = np.asarray(images)
    if images.shape[-1] != 3:
        images = images[..., :1]
    if levels > 256 and images.size:
        low, high = np.percentile(images, PERCENTILES)
        print(f"Shown from black to white: {low:.0f} to {high:.0f}, percentiles {PERCENTILES}.", file=sys.stderr)
        images, levels = np.clip((images - low) * (255 / max(1, high - low)), 0, 255).astype(np.uint8), 256
    scaled = as_pixels(images, levels=levels)
    rows, columns, height, width, colours = scaled.shape
    framed = np.full((rows, columns, height + gap, width + gap, colours), 128, np.uint8)
    framed[:, :, gap:, gap:] = scaled
    flat = framed.transpose(0, 2, 1, 3, 4).reshape(rows * (height + gap), columns * (width + gap), colours)
    return np.pad(flat, ((0, gap), (0, gap), (0, 0)), constant_values=128)


def save_grid(path: pathlib.Path, images: Grid, *, levels: int) -> None:
    """Writes a grid as PNG, enlarged to about 640 pixels."""
    pixels = grid(images, levels=levels)
    scale = max(1, round(640 / max(pixels.shape[:2])))
    atomic_write(path, as_png(pixels.repeat(scale, axis=0).repeat(scale, axis=1)))
