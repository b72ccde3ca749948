"""Reading image files: 8-bit images, and counts as they are stored."""

import io
import pathlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageOps
from jaxtyping import UInt8, UInt16

from pixelcnn_jax.data.measurement_files import MAX_PIXELS, READERS, counts_of, read_measurement
from pixelcnn_jax.foundation.errors import InputError, first_line

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "PPM", "TIFF")  # Pillow would run programs for some others
File = pathlib.Path | io.BytesIO
COUNTS = ("I", "I;16", "I;16B")  # Pillow's modes of grey images of more than 8 bits
GREY = ("1", "L", "LA", *COUNTS)
PNM = (".ppm", ".pgm", ".pbm", ".pnm")
TIFF = (".tif", ".tiff")
EXTENSIONS = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif", *TIFF, *PNM, *READERS)
Pixels = UInt8[np.ndarray, "height width channels"] | UInt16[np.ndarray, "height width 1"]


def find_image_files(root: pathlib.Path) -> list[pathlib.Path]:
    """Lists image files recursively, sorted, without hidden files."""
    found = (file for file in find_files(root) if file.suffix.lower() in EXTENSIONS)
    return sorted(file for file in found if file.is_file() or not file.exists())  # no pipes, but broken links


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


def images_in(file: pathlib.Path) -> list[pathlib.Path]:
    """Lists the paths of the images in a file: FILE/0, FILE/1 and so on if it is a stack, else its own.

    Raises:
      InputError: If a file that may be a stack is damaged.
    """
    if (suffix := file.suffix.lower()) not in (*TIFF, *READERS):
        return [file]
    with _opened(file, index=0) as image:
        frames = getattr(image, "n_frames", 1)
        count: Any = image.info["images"] if suffix in READERS else frames if frames > 1 else None
    return [file] if count is None else [file / str(index) for index in range(count)]


def decode(file: File, *, colour: bool | None, counts: bool | None = None, name: str = "") -> Pixels:
    """Decodes an image: counts as they are stored, others to 8-bit RGB or grey, over white.

    Counts are grey images of more than 8 bits, and what the formats of ``measurement_files`` hold.

    Args:
      file: The path of an image, as from ``images_in``, or the contents of a file.
      colour: Whether to convert to RGB instead of grey. None follows `kind_of`.
      counts: Whether the image must hold counts, or must not. None accepts both.
      name: What errors call the image. The default is its path.

    Raises:
      InputError: If the image is damaged, cannot be read exactly, has colours of more than 8 bits or several pictures.
      OSError: If the file cannot be opened.
    """
    with _opened(file, name) as image:
        if counts not in (None, image.mode in COUNTS):
            raise ValueError("it has 8 bits, not counts" if counts else "it has counts, not 8 bits")
        # EXIF orientation; TFDS ignores it.
        if isinstance(file, pathlib.Path):
            PIL.ImageOps.exif_transpose(image, in_place=True)
        if image.mode in COUNTS:
            return counts_of(np.asarray(image))[..., None]
        mode, opaque = "RGB" if colour or (colour is None and image.mode not in GREY) else "L", image
        if image.has_transparency_data:
            opaque = PIL.Image.alpha_composite(PIL.Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
        return np.asarray(opaque if opaque.mode == mode else opaque.convert(mode)).reshape(*image.size[::-1], -1)


def kind_of(file: pathlib.Path) -> str:
    """Says whether an image file, or the first image of a stack, holds "counts", "grey" or "colour" of 8 bits."""
    with _opened(file, index=0) as image:
        return "counts" if image.mode in COUNTS else "grey" if image.mode in GREY else "colour"


def read_image(path: pathlib.Path, *, channels: int) -> Pixels:
    """Reads exactly the stored pixels, for 1 or 3 channels; counts are uint16.

    Raises:
      InputError: for damage, or what would be lost: transparency, palette, colours in a grey model, more than 8 bits,
        several pictures, rotation.
    """
    modes = ("RGB",) if channels == 3 else ("1", "L", *COUNTS)
    with _opened(path) as image:
        if image.mode not in modes or "transparency" in image.info:
            choices = " or ".join(modes[:2])
            raise InputError(f"{path} must be of mode {choices} without transparency, got {image.mode}: convert it.")
        if image.format == "MPO" or image.getexif().get(0x0112, 1) not in (0, 1):
            raise InputError(f"{path} holds previews or a rotation, which would be lost: convert it.")
        if image.mode in COUNTS:
            return counts_of(np.asarray(image))[..., None]
        return np.asarray(image.convert("RGB" if channels == 3 else "L")).reshape(image.height, image.width, channels)


@contextmanager
def _opened(file: File, name: str = "", index: int | None = None) -> Iterator[PIL.Image.Image]:
    """Opens an image; ``index`` is that in a stack whose path names none."""
    PIL.Image.init()  # else Pillow knows some of the formats only
    content: File = file
    if isinstance(file, pathlib.Path) and file.name.isdecimal() and file.parent.is_file():
        content, index = file.parent, int(file.name)
    try:
        if isinstance(content, pathlib.Path) and content.suffix.lower() in READERS:
            yield read_measurement(content, index)
            return
        with PIL.Image.open(content, formats=FORMATS) as image:
            image.filename = ""  # else Pillow maps the pixels of a turned TIFF file with width and height exchanged
            if image.format == "TIFF" and index is not None:
                image.seek(index)
            elif index or (image.format != "MPO" and getattr(image, "n_frames", 1) > 1):  # MPO: a photo and previews
                raise ValueError("it has several pictures (those of a TIFF are FILE/0, FILE/1 ...), or not this one")
            copy = getattr(image, "tag_v2", {}).get(254, 0) & 5 and getattr(image, "n_frames", 1) > 1
            if copy or image.width * image.height > MAX_PIXELS:
                raise ValueError("it is a smaller copy or mask" if copy else f"it has more than {MAX_PIXELS:,} pixels")
            if _loses(image) or (image.mode in COUNTS and isinstance(file, io.BytesIO)):  # a record of TFDS
                raise ValueError("it has more than 8 bits per value, and is not grey without a sign")
            yield image
    except (InputError, FileNotFoundError, PermissionError):
        raise
    except ModuleNotFoundError as error:
        raise InputError(f"{name or file} needs {error.name}: in a checkout, pip install '.[science]'.") from None
    except Exception as error:  # Pillow and others raise half a dozen types for damaged files
        unknown = isinstance(error, PIL.UnidentifiedImageError)
        reason = "it is damaged or of no known format" if unknown else first_line(error)
        raise InputError(f"{name or file} cannot be read, {reason}: convert, repair or remove it.") from error


def _loses(image: PIL.Image.Image) -> bool:
    """Whether Pillow may silently drop bits of values, their sign or that white is zero."""
    tags = getattr(image, "tag_v2", {})
    if image.format in ("PNG", "TIFF") and image.mode in COUNTS:
        return tags.get(262) == 0  # white is zero, which Pillow ignores in images of counts
    for decoder, _, _, arguments in getattr(image, "tile", []):
        mode, *rest = arguments if isinstance(arguments, tuple) else (arguments,)
        if ";16" in str(mode) and mode != "BGR;16":  # that mode has 5, 6 and 5 bits
            return True
        if decoder in ("ppm", "ppm_plain") and rest and rest[0] > 255:  # the largest value that the file may hold
            return True
    # Pillow reads an image of separate planes as 8 bits, with black as zero.
    if tags.get(284) == 2 and (tags.get(262) == 0 or max(tags.get(258, (1,))) > 8):
        return True
    return image.mode[0] in "IF" or {*tags.get(339, (1,))} != {1}  # the format of samples is other than unsigned
