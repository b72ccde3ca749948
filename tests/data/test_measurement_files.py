"""Counts of more than 8 bits: read exactly, alone or as a stack, or rejected in a sentence that names the file."""

import gzip
import struct
import sys
from functools import partial
from pathlib import Path

import numpy as np
import PIL.Image
import pydicom
import pytest
from astropy.io import fits
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from pixelcnn_jax.data.image_files import decode, images_in, kind_of, read_image
from pixelcnn_jax.data.pictures import grid
from pixelcnn_jax.foundation.errors import InputError

COUNTS = np.array([[0, 1, 300, 7, 2], [65535, 4095, 258, 0, 9]], np.uint16)
STACK = np.stack([COUNTS, COUNTS // 2])


CLAIM = b"\x93NUMPY\x01\x00v\x00" + b"{'descr': '<u2', 'fortran_order': False, 'shape': (1048576, 1048576)}".ljust(118)


def tiff(file, pixels, *, sign=1, white=1):
    """Writes a TIFF as Pillow would not: of any byte order, with signed values, or with white as zero."""
    height, width = pixels.shape
    end, data, bits = "<" if pixels.dtype.str[0] != ">" else ">", pixels.tobytes(), 8 * pixels.itemsize
    numbers = ((258, bits), (259, 1), (262, white), (273, 8), (277, 1), (278, height), (279, len(data)), (339, sign))
    fields = ((256, width), (257, height), *numbers)
    entries = b"".join(struct.pack(end + "HHII", tag, 4, 1, value) for tag, value in fields)
    head = {"<": b"II*\0", ">": b"MM\0*"}[end] + struct.pack(end + "I", 8 + len(data))
    file.write_bytes(head + data + struct.pack(end + "H", len(fields)) + entries + bytes(4))


def pillow(file, images, **options):
    first, *others = map(PIL.Image.fromarray, images.reshape(-1, 2, 5))
    first.save(file, save_all=bool(others), append_images=others, **options)


def dicom(file, pixels, *, compressed=False, **fields):
    content = pydicom.Dataset()
    content.file_meta = pydicom.dataset.FileMetaDataset()
    content.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    content.SOPClassUID = content.SOPInstanceUID = content.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    content.set_pixel_data(pixels, "MONOCHROME2", 16)
    content.update(fields)
    content.compress(RLELossless) if compressed else None
    content.save_as(file, enforce_file_format=True)


def scaled(file, key, value):
    fits.writeto(file, COUNTS.astype(np.int32))
    fits.setval(file, key, value=value, do_not_scale_image_data=True)


READ = {
    "a.png": (pillow, COUNTS, {}),
    "lzw.tif": (pillow, COUNTS, {"compression": "tiff_lzw"}),
    "big.tif": (tiff, COUNTS.astype(">u2"), {}),
    "signed.tiff": (tiff, COUNTS.astype("<i4"), {"sign": 2}),
    "big.npy": (np.save, np.asfortranarray(COUNTS.astype(">i8")), {}),
    "a.fits": (fits.writeto, COUNTS, {}),  # as signed integers with a BZERO
    "a.dcm": (dicom, COUNTS, {"RescaleIntercept": -1024}),
    "s.tif": (pillow, STACK, {}),
    "s.npy": (np.save, STACK, {}),
    "s.fits": (fits.writeto, STACK, {}),
    "s.dcm": (dicom, STACK, {}),
}


@pytest.mark.parametrize("name", READ)
def test_counts_are_read_exactly(tmp_path, name):
    file, (write, stored, options) = tmp_path / name, READ[name]
    write(file, stored, **options)
    paths = [file] if stored.ndim == 2 else [file / "0", file / "1"]
    assert images_in(file) == paths
    assert kind_of(file) == "counts"
    for path, pixels in zip(paths, stored.reshape(-1, 2, 5), strict=True):
        for image in (decode(path, colour=None), read_image(path, channels=1)):
            np.testing.assert_array_equal(image, pixels[..., None])
            assert image.dtype == np.uint16
    for path in (file, file / "2") if stored.ndim == 3 else ():
        with pytest.raises(InputError, match=name):
            decode(path, colour=None)


REJECTED = {
    "a.npy": (np.save, [COUNTS + 0.5], {}, "float64 .*not integers"),
    "negative.npy": (np.save, [np.array([[3, -1]])], {}, "from -1"),
    "large.npy": (np.save, [np.array([[3, 65536]])], {}, "to 65536"),
    "axes.npy": (np.save, [COUNTS[None, None]], {}, "its shape"),
    "colour.npy": (np.save, [np.zeros((5, 6, 3), np.uint8)], {}, r"its shape is \[5, 6, 3\]"),
    "pickled.npy": (np.save, [np.array([[{}]])], {"allow_pickle": True}, "objects"),
    "claim.npy": (Path.write_bytes, [CLAIM], {}, "cannot be read"),
    "scaled.fits": (scaled, ["BSCALE", 2.0], {}, "float64 .*not integers"),
    "blank.fits": (scaled, ["BLANK", 300], {}, "not integers"),
    "slope.dcm": (dicom, [COUNTS], {"RescaleSlope": 2}, "slope"),
    "gzip.fits": (Path.write_bytes, [gzip.compress(b"SIMPLE  =")], {}, "it is compressed"),
    "rle.dcm": (dicom, [COUNTS], {"compressed": True}, "compressed"),
    "negative.tif": (tiff, [np.array([[3, -1]], "<i2")], {"sign": 2}, "from -1"),
    "signed8.tif": (tiff, [np.array([[3, -1]], "i1")], {"sign": 2}, "without a sign"),
    "white.tif": (tiff, [COUNTS], {"white": 0}, "not grey"),
    "float.tif": (pillow, [COUNTS.astype(np.float32)], {}, "8 bits"),
}


@pytest.mark.filterwarnings("ignore::astropy.io.fits.verify.VerifyWarning")
@pytest.mark.parametrize("name", REJECTED)
def test_what_cannot_be_read_exactly_is_rejected(tmp_path, name):
    write, arguments, options, match = REJECTED[name]
    write(tmp_path / name, *arguments, **options)
    for read in (partial(decode, colour=None), partial(read_image, channels=1)):
        with pytest.raises(InputError, match=f"{name} .*{match}"):
            read(tmp_path / name)


def test_counts_and_8_bits_are_not_mixed(tmp_path):
    pillow(tmp_path / "a.png", COUNTS)
    pillow(tmp_path / "b.png", COUNTS.astype(np.uint8))
    for name, counts in (("a.png", False), ("b.png", True)):
        with pytest.raises(InputError, match=f"{name} cannot be read, it has .*not"):
            decode(tmp_path / name, colour=None, counts=counts)


def test_a_missing_library_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "astropy.io", None)
    (tmp_path / "a.fits").touch()
    with pytest.raises(InputError, match=r"a\.fits needs astropy\.io: in a checkout, pip install '\.\[science\]'"):
        decode(tmp_path / "a.fits", colour=None)


def test_pictures_of_counts_are_scaled(capsys):
    images = np.arange(10_000).reshape(1, 1, 100, 100, 1)
    picture = grid(images, levels=2**16)[1:-1, 1:-1]
    assert (picture.min(), picture.max(), picture[50, 50]) == (0, 255, 128)
    assert "100 to 9899, percentiles (1, 99)" in capsys.readouterr().err
