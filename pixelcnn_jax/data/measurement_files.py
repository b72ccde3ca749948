"""Files of measurements: .npy, FITS and DICOM, with a grey image or a stack of images along the first of three axes.

Image 7 of the stack ``a.npy`` has the path ``a.npy/7``. Values are read exactly, or rejected. Those of FITS may be
unsigned by a BZERO, and those of DICOM are the stored ones, without the rescale intercept.
"""

import functools
import pathlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import PIL
from jaxtyping import UInt16

from pixelcnn_jax.foundation.errors import InputError, first_line

MEASUREMENTS = (".npy", ".fits", ".fit", ".fts", ".dcm")
MAX_PIXELS = 89_478_485  # per image; Pillow warns above it
MAX_LEVELS = 2**16


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Turns any error of a reader into an InputError that names the file."""
    try:
        yield
    except (InputError, FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # Pillow and others raise half a dozen types for damaged files
        reason = "it has no known format" if isinstance(error, PIL.UnidentifiedImageError) else first_line(error)
        if isinstance(error, ModuleNotFoundError):
            raise InputError(f"{name} needs {error.name}: pip install 'pixelcnn-jax[science]'.") from None
        raise InputError(f"{name} cannot be read, {reason}: convert, repair or remove it.") from error


def counts_of(values: Any) -> UInt16[np.ndarray, "..."]:
    """Converts integers of any type and byte order; raises ValueError for others, and for what is out of range."""
    if values.dtype.kind not in "bui":
        raise ValueError(f"it holds {values.dtype}, not integers")
    for value in (int(values.min()), int(values.max())):
        if not 0 <= value < MAX_LEVELS:
            raise ValueError(f"it holds the value {value}, not in 0 to {MAX_LEVELS - 1}")
    return np.asarray(values).astype(np.uint16)


def read_measurement(file: pathlib.Path, index: int | None) -> UInt16[np.ndarray, "height width"]:
    """Reads the image of a file, or one of its stack; raises ValueError for what is no grey image of counts."""
    values = open_stack(file)
    image = values[index] if values.ndim == 3 and index is not None else values
    if image.ndim != 2 or not 0 < image.size <= MAX_PIXELS:
        raise ValueError(f"its shape is {[*image.shape]}, not that of a grey image of at most {MAX_PIXELS:,} pixels")
    return counts_of(image)


def open_stack(file: pathlib.Path) -> Any:
    """Opens a file of one of the ``MEASUREMENTS``, as an array of which .npy reads only what is used."""
    return _open(file, file.stat().st_mtime_ns)


@functools.lru_cache(maxsize=1)  # since the images of a stack are read one after the other
def _open(file: pathlib.Path, changed: int) -> Any:
    match file.suffix.lower():
        case ".npy":
            return np.lib.format.open_memmap(file, mode="r")  # rejects pickled objects
        case ".dcm":
            return _read_dicom(file)
    return _read_fits(file)


def _read_fits(file: pathlib.Path) -> Any:
    from astropy.io import fits

    with fits.open(file) as units:
        image = next(x for x in units if type(x) in (fits.PrimaryHDU, fits.ImageHDU) and x.shape)
        return image.data  # floats if it has missing values, or a scale other than that of unsigned integers


def _read_dicom(file: pathlib.Path) -> Any:
    import pydicom

    content = pydicom.dcmread(file)
    slope = float(content.get("RescaleSlope", 1) or 1)
    if content.file_meta.TransferSyntaxUID.is_encapsulated or content.SamplesPerPixel != 1 or slope != 1:
        raise ValueError("it is compressed, in colour, or rescaled by a slope")
    return content.pixel_array
