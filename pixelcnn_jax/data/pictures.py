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
    """Writes an image to a new file: a PNG, or the array if the name ends in .npy.

    Args:
      path: The file. It must not exist, and it may be incomplete if the process is killed.
      pixels: Grey or RGB pixels of shape [height, width, channels]; uint16 are written with 16 bits, and must be grey.
    """
    with path.open("xb") as file:
        if path.suffix == ".npy":
            np.save(file, pixels[..., 0])
        else:
            file.write(as_png(pixels))


def as_png(pixels: Pixels, *, optimize: bool = False, bits: int = 8) -> bytes:
    """Encodes an image as a PNG.

    Args:
      pixels: Grey or RGB pixels of shape [height, width, channels]; uint16 are stored with 16 bits, and must be grey.
      optimize: Whether to take more time for a smaller file.
      bits: 1 stores a black and white image in 1 bit per pixel.

    Returns:
      The content of the file.
    """
    content, picture = io.BytesIO(), PIL.Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    (picture.convert("1") if bits == 1 else picture).save(content, "PNG", optimize=optimize)
    return content.getvalue()


def png_bits_per_dim(image: Integer[np.ndarray | Array, "height width channels"], *, levels: int) -> float:
    """Computes the size of an image as a PNG file, in bits per sub-pixel.

    Args:
      image: Integers 0 to ``levels - 1`` of shape [height, width, channels].
      levels: The number of intensity levels. Grey images of two levels are stored with 1 bit per pixel, images of more
        than 256 levels with 16 bits, and others with 8. Pillow writes no colours of 16 bits, so the channels are then
        put below each other in one grey image.

    Returns:
      The bits of the file, divided by the number of sub-pixels.
    """
    if levels > 256:
        pixels = np.moveaxis(np.asarray(image, np.uint16), -1, 0).reshape(-1, image.shape[1], 1)
    else:
        pixels = as_pixels(image, levels=levels)
    bits = 1 if levels == 2 and image.shape[-1] == 1 else 8
    return 8 * len(as_png(pixels, optimize=True, bits=bits)) / image.size


def as_pixels(images: Levels, *, levels: int) -> Intensities:
    """Converts levels to 8-bit intensities, for PNG files and display.

    Args:
      images: Integers 0 to ``levels - 1`` of any shape that ends in [height, width, channels].
      levels: The number of intensity levels.

    Returns:
      Integers 0 to 255, uint8, of the same shape.
    """
    return np.round(np.asarray(images) * (255 / (levels - 1))).astype(np.uint8)


def as_levels(pixels: Intensities, *, levels: int) -> Intensities:
    """Rounds 8-bit intensities to levels. It is the inverse of ``as_pixels`` for 2 to 256 levels.

    Args:
      pixels: Integers 0 to 255 of any shape that ends in [height, width, channels].
      levels: The number of intensity levels.

    Returns:
      Integers 0 to ``levels - 1``, uint8, of the same shape.
    """
    return np.round(pixels * ((levels - 1) / 255)).astype(np.uint8)


def grid(images: Grid, *, levels: int, gap: int = 1) -> UInt8[np.ndarray, "grid_height grid_width colours"]:
    """Arranges images in a grid.

    Args:
      images: Integers 0 to ``levels - 1`` of shape [rows, columns, height, width, channels]. Three channels are shown
        as RGB; otherwise, only the first is shown.
      levels: The number of intensity levels. Above 256, the range from the 1st to the 99th percentile is stretched from
        black to white, and both values are printed on stderr.
      gap: The number of grey pixels between the images and around the grid.

    Returns:
      Intensities 0 to 255 of shape [grid_height, grid_width, colours], uint8.
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
    """Writes a grid of images as a PNG file, enlarged by a whole factor to about 640 pixels along its longer side.

    Args:
      path: The file, which is replaced if it exists.
      images: Integers 0 to ``levels - 1`` of shape [rows, columns, height, width, channels], as for ``grid``.
      levels: The number of intensity levels.
    """
    pixels = grid(images, levels=levels)
    scale = max(1, round(640 / max(pixels.shape[:2])))
    atomic_write(path, as_png(pixels.repeat(scale, axis=0).repeat(scale, axis=1)))
