"""Reading and writing image files, and grids of images."""

import io
import pathlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import PIL.Image
import PIL.ImageOps
from jaxtyping import Array, Integer, UInt8

from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.foundation.files import atomic_write

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "PPM", "TIFF")  # Pillow would run programs for some others
MAX_PIXELS = 89_478_485  # per file; Pillow warns above it
File = pathlib.Path | io.BytesIO
GREY = ("1", "L", "LA")  # Pillow's modes
PNM = (".ppm", ".pgm", ".pbm", ".pnm")
EXTENSIONS = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff", *PNM)


def find_image_files(root: pathlib.Path) -> list[pathlib.Path]:
    """Lists image files recursively, sorted, without hidden files."""
    return sorted(file for file in find_files(root) if file.suffix.lower() in EXTENSIONS)


def find_files(folder: pathlib.Path, outer: tuple[pathlib.Path, ...] = ()) -> Iterator[pathlib.Path]:
    """Yields what lies below a folder and is neither a folder nor hidden.

    Links are followed, but no folder is entered from within itself.

    Args:
      folder: The folder.
      outer: The folders that it was entered from, resolved.

    Raises:
      OSError: If a folder cannot be read.
    """
    if (here := folder.resolve()) not in outer:
        for path in folder.iterdir():
            if not path.name.startswith("."):
                yield from find_files(path, (*outer, here)) if path.is_dir() else [path]


def decode(file: File, *, colour: bool | None, name: str = "") -> UInt8[np.ndarray, "height width channels"]:
    """Decodes an image file to 8-bit RGB or grey, over white.

    Args:
      file: The path of a file, or the contents of one.
      colour: Whether to convert to RGB instead of grey. None follows `has_colour`.
      name: What errors call the image. The default is its path.

    Raises:
      InputError: If the image is damaged, has more than 8 bits per value or holds several pictures.
      OSError: If the file cannot be opened.
    """
    with _opened(file, name) as image:
        # EXIF orientation; TFDS ignores it.
        if isinstance(file, pathlib.Path):
            PIL.ImageOps.exif_transpose(image, in_place=True)
        mode, opaque = "RGB" if colour or (colour is None and image.mode not in GREY) else "L", image
        if image.has_transparency_data:
            opaque = PIL.Image.alpha_composite(PIL.Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
        return np.asarray(opaque if opaque.mode == mode else opaque.convert(mode)).reshape(*image.size[::-1], -1)


def has_colour(file: pathlib.Path) -> bool:
    """Whether an image file has colours."""
    with _opened(file) as image:
        return image.mode not in GREY


def read_image(path: pathlib.Path, *, channels: int) -> UInt8[np.ndarray, "height width channels"]:
    """Reads exactly the stored pixels, for 1 or 3 channels.

    Raises:
      InputError: for damage, or what would be lost: transparency, palette, colours in a grey model, more than 8 bits,
        several pictures, rotation.
    """
    modes = ("RGB",) if channels == 3 else ("1", "L")
    with _opened(path) as image:
        if image.mode not in modes or "transparency" in image.info:
            choices = " or ".join(modes)
            raise InputError(f"{path} must be of mode {choices} without transparency, got {image.mode}: convert it.")
        if image.format == "MPO" or image.getexif().get(0x0112, 1) != 1:
            raise InputError(f"{path} holds previews or a rotation, which would be lost: convert it.")
        return np.asarray(image.convert("RGB" if channels == 3 else "L")).reshape(image.height, image.width, channels)


def write_image(path: pathlib.Path, pixels: UInt8[np.ndarray, "height width channels"]) -> None:
    """Writes a PNG, not atomically."""
    with path.open("xb") as file:
        file.write(as_png(pixels))


def as_png(pixels: UInt8[np.ndarray, "height width channels"], *, optimize: bool = False, bits: int = 8) -> bytes:
    """Encodes a PNG; black and white may have 1 bit per pixel."""
    content, picture = io.BytesIO(), PIL.Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    (picture.convert("1") if bits == 1 else picture).save(content, "PNG", optimize=optimize)
    return content.getvalue()


def png_bits_per_dim(image: Integer[np.ndarray | Array, "height width channels"], *, levels: int) -> float:
    """Computes the PNG size in bits/dim; binary images at 1 bit per pixel."""
    pixels, bits = as_pixels(image, levels=levels), 1 if levels == 2 and image.shape[-1] == 1 else 8
    return 8 * len(as_png(pixels, optimize=True, bits=bits)) / image.size


def as_pixels(
    images: Integer[np.ndarray | Array, "*batch height width channels"], *, levels: int
) -> UInt8[np.ndarray, "*batch height width channels"]:
    """Converts levels to intensities 0 to 255."""
    return np.round(np.asarray(images) * (255 / (levels - 1))).astype(np.uint8)


def as_levels(
    pixels: UInt8[np.ndarray, "*batch height width channels"], *, levels: int
) -> UInt8[np.ndarray, "*batch height width channels"]:
    """Rounds intensities to levels; the inverse of `as_pixels` for 2 to 256 levels."""
    return np.round(pixels * ((levels - 1) / 255)).astype(np.uint8)


def grid(
    images: Integer[np.ndarray | Array, "rows columns height width channels"], *, levels: int, gap: int = 1
) -> UInt8[np.ndarray, "grid_height grid_width colours"]:
    """Arranges images in a grid, ``gap`` grey pixels apart.

    Three channels are RGB; otherwise only the first is shown.
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
    path: pathlib.Path, images: Integer[np.ndarray | Array, "rows columns height width channels"], *, levels: int
) -> None:
    """Writes a grid as PNG, enlarged to about 640 pixels."""
    pixels = grid(images, levels=levels)
    scale = max(1, round(640 / max(pixels.shape[:2])))
    atomic_write(path, as_png(pixels.repeat(scale, axis=0).repeat(scale, axis=1)))


@contextmanager
def _opened(file: File, name: str = "") -> Iterator[PIL.Image.Image]:
    PIL.Image.init()  # else Pillow knows some of the formats only
    try:
        with PIL.Image.open(file, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ValueError(f"it has more than {MAX_PIXELS:,} pixels")
            if _has_more_bits(image):
                raise ValueError("it has more than 8 bits per value")
            if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:  # MPO: a photograph and its previews
                raise ValueError("it has several pictures")
            yield image
    except (InputError, FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # Pillow raises half a dozen types for damaged files
        reason = "it has no known format" if isinstance(error, PIL.UnidentifiedImageError) else error
        raise InputError(f"{name or file} cannot be read, {reason}: convert, repair or remove it.") from error


def _has_more_bits(image: PIL.Image.Image) -> bool:
    """Whether values have other than 8 bits, which Pillow may drop silently."""
    for decoder, _, _, arguments in getattr(image, "tile", []):
        mode, *rest = arguments if isinstance(arguments, tuple) else (arguments,)
        if ";16" in str(mode) and mode != "BGR;16":  # that mode has 5, 6 and 5 bits
            return True
        if decoder in ("ppm", "ppm_plain") and rest and rest[0] > 255:  # the largest value that the file may hold
            return True
    return image.mode[0] in "IF"
