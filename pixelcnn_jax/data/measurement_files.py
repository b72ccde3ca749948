"""Files of measurements: .npy, FITS and DICOM, with a grey image or a stack of images along the first of three axes.

Image 7 of the stack ``a.npy`` has the path ``a.npy/7``. Values are read exactly, or rejected. Those of FITS may be
unsigned by a BZERO, and those of DICOM are the stored ones, without the rescale intercept.
"""

import functools
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import PIL.Image
from jaxtyping import UInt16

MAX_PIXELS = 89_478_485  # per image; Pillow warns above it
MAX_LEVELS = 2**16


def read_measurement(file: pathlib.Path, index: int | None) -> PIL.Image.Image:
    """Reads the image of a file, or one of its stack, whose size is ``info["images"]``.

    Raises:
      ValueError: for what is no grey image of counts.
    """
    image = values = _open(file, (*file.stat()[1:3], file.stat().st_size, file.stat().st_mtime_ns))
    if index or (values.ndim == 3 and index is not None):
        image = values[index]
    is_colour = values.ndim == 3 and values.shape[2] < 5
    if is_colour or image.ndim != 2 or not 0 < image.size <= MAX_PIXELS:
        of_stack = "and only the images of a stack are called FILE/0, FILE/1 and so on"
        most = f"but a grey image has two axes and at most {MAX_PIXELS:,} pixels"
        raise ValueError(f"its shape is {[*values.shape]}, {most}, {of_stack}")
    picture = PIL.Image.fromarray(counts_of(image))
    picture.info["images"] = len(values) if values.ndim == 3 else None
    return picture


def counts_of(values: Any) -> UInt16[np.ndarray, "..."]:
    """Converts integers of any type and byte order; raises ValueError for others, and for what is out of range."""
    if values.dtype.kind not in "bui" or not 0 <= values.min() <= values.max() < MAX_LEVELS:
        found = f"{values.dtype} from {values.min()} to {values.max()}"
        raise ValueError(f"it holds {found}, not integers from 0 to {MAX_LEVELS - 1}")
    return np.asarray(values).astype(np.uint16)


def _read_fits(file: pathlib.Path) -> Any:
    from astropy.io import fits

    with file.open("rb") as content:
        if content.read(6) != b"SIMPLE":
            raise ValueError("it is compressed, or not a FITS file")
    with fits.open(file) as units:
        images = [x for x in units if type(x) in (fits.PrimaryHDU, fits.ImageHDU) and x.shape]
        if images and "BLANK" in images[0].header:
            raise ValueError("some values may be missing (its keyword is BLANK)")
        return images[0].data if images else np.empty(0)  # floats if scaled otherwise than unsigned integers


def _read_dicom(file: pathlib.Path) -> Any:
    import pydicom

    syntax = pydicom.filereader.read_file_meta_info(file).TransferSyntaxUID
    if syntax.is_encapsulated or syntax.is_deflated:
        raise ValueError("it is compressed")
    content = pydicom.dcmread(file)
    slopes = [x.value for x in content.iterall() if x.keyword == "RescaleSlope"]  # of all frames, or of each
    if "MONOCHROME" not in content.PhotometricInterpretation or any(float(x or 1) != 1 for x in slopes):
        raise ValueError("it is in colour, or rescaled by a slope")
    return content.pixel_array


_read_npy = functools.partial(np.lib.format.open_memmap, mode="r")  # reads what is used, and rejects pickled objects
READERS: dict[str, Callable[[pathlib.Path], Any]] = {".npy": _read_npy, ".dcm": _read_dicom}
READERS |= dict.fromkeys((".fits", ".fit", ".fts"), _read_fits)


@functools.lru_cache(maxsize=1)  # since the images of a stack are read one after the other
def _open(file: pathlib.Path, version: tuple[int, ...]) -> Any:
    return READERS[file.suffix.lower()](file)
