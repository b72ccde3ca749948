"""Image files: what is stored is read exactly, or rejected in a sentence that names the file."""

import gzip
import os
import struct
import sys
import warnings
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import PIL.Image
import pydicom
import pytest
from astropy.io import fits
from image_helpers import pillow, ramp
from pydicom import examples
from pydicom.uid import RLELossless

from pixelcnn_jax.data import pictures
from pixelcnn_jax.data.image_files import decode, images_in, kind_of, read_image
from pixelcnn_jax.data.pictures import as_levels, as_pixels, grid, png_bits_per_dim
from pixelcnn_jax.foundation.errors import InputError


@pytest.mark.parametrize(
    ("mode", "colour", "pixel"),
    [
        ("1", 1, [255]),
        ("L", 7, [7]),
        ("LA", (7, 0), [255]),
        ("RGB", (1, 2, 3), [1, 2, 3]),
        ("RGBA", (0, 51, 102, 204), [51, 92, 133]),
    ],
)
def test_any_kind_of_image_is_decoded_over_white(tmp_path, mode, colour, pixel):
    file = tmp_path / "a.png"
    PIL.Image.new(mode, (6, 4), colour).save(file)
    assert kind_of(file) == ("colour" if len(pixel) == 3 else "grey")
    assert np.array_equal(decode(file, colour=len(pixel) == 3), np.broadcast_to(pixel, (4, 6, len(pixel))))
    assert decode(file, colour=True).shape == (4, 6, 3)


def test_transparent_palettes(tmp_path):
    image = PIL.Image.new("P", (6, 4), 1)
    image.putpalette([0, 0, 0, 1, 2, 3])
    image.save(tmp_path / "a.png", transparency=b"\x00\x80")
    assert (decode(tmp_path / "a.png", colour=True) == [128, 128, 129]).all()


def png_of(width, height, bits, kind, pixels):
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(pixels)), (b"IEND", b"")
    coded = (struct.pack(">I", len(x)) + name + x + struct.pack(">I", zlib.crc32(name + x)) for name, x in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(coded)


@pytest.mark.parametrize("size", [10_000, 13_000, 30_000])
@pytest.mark.parametrize("read", [kind_of, partial(decode, colour=True), partial(read_image, channels=1)])
@pytest.mark.parametrize("limit", [PIL.Image.MAX_IMAGE_PIXELS, None])
def test_images_of_too_many_pixels_are_refused_before_they_are_decoded(tmp_path, monkeypatch, read, size, limit):
    """Pillow's own limit may be lifted by a program, and its warning ignored."""
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", limit)
    warnings.simplefilter("ignore")
    (tmp_path / "a.png").write_bytes(png_of(size, size, 8, 0, b""))
    with pytest.raises(InputError, match=r"a\.png .*pixels"):
        read(tmp_path / "a.png")


def sideways(folder, orientation=6):  # turn clockwise
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    pillow(ramp(1)[0]).save(folder / "a.png", exif=exif)
    return folder / "a.png"


def test_photographs_taken_sideways_are_turned(tmp_path):
    assert np.array_equal(decode(sideways(tmp_path), colour=False), np.rot90(ramp(1)[0], -1))
    assert np.array_equal(read_image(sideways(tmp_path, 0), channels=1), ramp(1)[0])  # of unknown orientation
    pillow(ramp(1)[0]).save(tmp_path / "a.tif", tiffinfo={0x0112: 6})  # whose pixels Pillow would map
    assert np.array_equal(decode(tmp_path / "a.tif", colour=False), np.rot90(ramp(1)[0], -1))


def test_files_of_fewer_levels_are_scaled(tmp_path):
    for name, content in (("a.ppm", b"P3 1 1 100 0 50 100"), ("b.ppm", b"P6 1 1 100 \0\x32\x64")):
        (tmp_path / name).write_bytes(content)
        assert decode(tmp_path / name, colour=True).ravel().tolist() == [0, 128, 255]


COUNTS = np.array([[0, 1, 300, 7, 2], [65535, 4095, 258, 0, 9]], np.uint16)
STACK = np.stack([COUNTS, COUNTS // 2])


def by_pillow(file, images, **options):
    first, *others = map(PIL.Image.fromarray, images.reshape(-1, 2, 5))
    first.save(file, save_all=bool(others), append_images=others, **options)


def dicom(file, pixels, *, compressed=False, **fields):
    content = examples.ct
    content.set_pixel_data(pixels, "MONOCHROME2", 16)
    content.update(fields)
    content.compress(RLELossless) if compressed else None
    content.save_as(file)


def scaled(file, pixels, **field):
    fits.writeto(file, pixels)
    fits.setval(file, do_not_scale_image_data=True, **field)


READ = {
    "a.png": (by_pillow, COUNTS, {}),
    "big.tif": (by_pillow, COUNTS.astype(">u2"), {}),
    "signed.tiff": (by_pillow, COUNTS.astype("<i4"), {}),
    "big.npy": (np.save, np.asfortranarray(COUNTS.astype(">i8")), {}),
    "s.tif": (by_pillow, STACK, {}),
    "s.npy": (np.save, STACK, {}),
    "s.fits": (fits.writeto, STACK, {}),  # as signed integers with a BZERO
    "s.dcm": (dicom, STACK, {"RescaleIntercept": -1024}),
}


@pytest.mark.parametrize("name", READ)
def test_counts_are_read_exactly(tmp_path, name):
    file, (write, stored, options) = tmp_path / name, READ[name]
    write(file, stored, **options)
    paths = [file] if stored.ndim == 2 else [file / "0", file / "1"]
    assert images_in(file) == paths
    assert kind_of(file) == "counts"
    for path, pixels in zip(paths, stored.astype(np.uint16).reshape(-1, 2, 5, 1), strict=True):
        np.testing.assert_array_equal(decode(path, colour=None), pixels, strict=True)
        np.testing.assert_array_equal(read_image(path, channels=1), pixels, strict=True)
    for path in (file, file / "2") if stored.ndim == 3 else ():
        with pytest.raises(InputError, match=name):
            decode(path, colour=None)


# Pillow would hand it to Ghostscript, whatever the file is called.
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 5 5\n%%EndComments\nshowpage\n"
SLOPE = pydicom.Dataset.from_json({"00281053": {"vr": "DS", "Value": [2]}})
# A TIFF of 2x1 pixels, in planes of red, green and blue of 16 bits each.
TAGS = [(256, 3, 1, 2), (257, 3, 1, 1), (258, 3, 3, 122), (262, 3, 1, 2), (273, 4, 3, 128), (277, 3, 1, 3)]
TAGS += [(278, 3, 1, 1), (279, 4, 3, 140), (284, 3, 1, 2)]
PLANES = struct.pack("<2sHIH", b"II", 42, 8, len(TAGS)) + b"".join(struct.pack("<HHII", *tag) for tag in TAGS)
PLANES += struct.pack("<I3H6I6H", 0, 16, 16, 16, 152, 156, 160, 4, 4, 4, *range(0, 60000, 10000))
REJECTED = {
    "a.npy": (np.save, COUNTS + 0.5, {}, "float64 .*not integers"),
    "large.npy": (np.save, np.array([[3, 65536]]), {}, "to 65536"),
    "axes.npy": (np.save, COUNTS[None, None], {}, "its shape"),
    "colour.npy": (np.save, np.zeros((5, 6, 3), np.uint8), {}, r"its shape is \[5, 6, 3\]"),
    "gzip.fits": (Path.write_bytes, gzip.compress(b"SIMPLE  ="), {}, "it is compressed"),
    "pickled.npy": (np.save, np.array([[{}]]), {}, "objects"),
    "scaled.fits": (scaled, COUNTS.astype(int), {"keyword": "BSCALE", "value": 2.0}, "float64 .*not integers"),
    "blank.fits": (scaled, COUNTS.astype(int), {"keyword": "BLANK", "value": 300}, "missing"),
    "unsigned.fits": (scaled, COUNTS, {"keyword": "BLANK", "value": -32768}, "missing"),
    "slope.dcm": (dicom, COUNTS, {"RescaleSlope": 2}, "slope"),
    "frames.dcm": (dicom, COUNTS, {"SharedFunctionalGroupsSequence": [SLOPE]}, "slope"),
    "palette.dcm": (dicom, COUNTS, {"PhotometricInterpretation": "PALETTE COLOR"}, "in colour"),
    "rle.dcm": (dicom, COUNTS, {"compressed": True}, "compressed"),
    "negative.tif": (by_pillow, COUNTS, {"tiffinfo": {339: 2}}, "from -1"),  # signed, and 65535 are the bits of -1
    "signed8.tif": (by_pillow, COUNTS.astype(np.uint8), {"tiffinfo": {339: 2}}, "without a sign"),
    "white.tif": (by_pillow, COUNTS, {"tiffinfo": {262: 0}}, "not grey"),
    "planes.tif": (Path.write_bytes, PLANES, {}, "8 bits"),
    "float.tif": (by_pillow, COUNTS.astype(np.float32), {}, "8 bits"),
    "colours.png": (Path.write_bytes, png_of(6, 4, 16, 2, (b"\0" + b"\1\2" * 3 * 6) * 4), {}, "8 bits"),
    "plain.ppm": (Path.write_bytes, b"P3 6 4 65535 " + 72 * b"300 ", {}, "8 bits"),
    "several.gif": (by_pillow, STACK.astype(np.uint8), {}, "several"),
    "program.png": (Path.write_bytes, POSTSCRIPT, {}, "cannot be read"),
    "text.png": (Path.write_bytes, b"no image", {}, "cannot be read"),
    "truncated.png": (Path.write_bytes, png_of(6, 4, 8, 0, bytes(4 * 7))[:45], {}, "cannot be read"),
}


@pytest.mark.parametrize("name", REJECTED)
def test_what_cannot_be_read_exactly_is_rejected(tmp_path, name):
    write, content, options, match = REJECTED[name]
    write(tmp_path / name, content, **options)
    stacks = (images_in,) if name == "colour.npy" else ()  # looks like a stack of narrow images
    for read in (partial(decode, colour=None), partial(read_image, channels=1), *stacks):
        with pytest.raises(InputError, match=f"{name} .*{match}"):
            read(tmp_path / name)


def test_counts_and_8_bits_are_not_mixed(tmp_path):
    by_pillow(tmp_path / "a.png", COUNTS)
    by_pillow(tmp_path / "b.png", COUNTS.astype(np.uint8))
    for name, counts in (("a.png", False), ("b.png", True)):
        with pytest.raises(InputError, match=f"{name} cannot be read, it has .*not"):
            decode(tmp_path / name, colour=None, counts=counts)


def test_a_missing_library_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "astropy.io", None)
    (tmp_path / "a.fits").touch()
    with pytest.raises(InputError, match=r"a\.fits needs astropy\.io: in a checkout, pip install '\.\[science\]'"):
        decode(tmp_path / "a.fits", colour=None)


def test_pictures_of_counts_are_scaled(capsys):
    picture = grid(np.arange(10_000).reshape(1, 1, 100, 100, 1), levels=2**16)[1:-1, 1:-1]
    assert (picture.min(), picture.max(), picture[50, 50]) == (0, 255, 128)
    assert "100 to 9899, percentiles (1, 99)" in capsys.readouterr().err


def test_refusals_of_files_that_hold_other_pixels_or_more(tmp_path):
    for mode in ("L", "RGBA"):
        PIL.Image.new(mode, (6, 4)).save(tmp_path / "a.png")
        with pytest.raises(InputError, match=r"a\.png"):
            read_image(tmp_path / "a.png", channels=3)
    with pytest.raises(InputError, match=r"a\.png"):
        read_image(sideways(tmp_path), channels=1)


@pytest.mark.parametrize("channels", [1, 3])
def test_written_pixels_are_read_exactly(tmp_path, monkeypatch, channels):
    monkeypatch.setattr(os, "fsync", None)  # one for each of many images takes long
    image = ramp(1, channels=channels)[0]
    pictures.write_image(tmp_path / "a.png", image)
    assert np.array_equal(read_image(tmp_path / "a.png", channels=channels), image)


@pytest.mark.parametrize("levels", [2, 17, 200, 256])
def test_levels_come_back_from_pixels(levels):
    values = np.arange(levels).reshape(1, 1, levels, 1)
    assert np.array_equal(as_levels(as_pixels(values, levels=levels), levels=levels), values)


def test_a_grid_has_the_images_in_rows_and_columns(tmp_path):
    images = ramp(6).reshape(2, 3, 4, 6, 1)
    laid = grid(images, levels=256)
    assert laid.shape == (2 * 5 + 1, 3 * 7 + 1, 1)
    assert np.array_equal(laid[6:10, 8:14], images[1, 1])
    assert (laid[::5] == 128).all()
    assert (laid[:, ::7] == 128).all()
    pictures.save_grid(tmp_path / "grid.png", images, levels=256)
    assert np.array_equal(read_image(tmp_path / "grid.png", channels=1), laid.repeat(29, 0).repeat(29, 1))
    assert grid(ramp(6, channels=3).reshape(2, 3, 4, 6, 3), levels=256).shape == (11, 22, 3)
    assert grid(ramp(6, channels=4).reshape(2, 3, 4, 6, 4), levels=256).shape == (11, 22, 1)


@pytest.mark.parametrize(("levels", "channels"), [(2, 1), (2, 3), (17, 1), (256, 3), (2**16, 3)])
def test_a_plain_image_takes_fewer_bits_as_png_than_noise(levels, channels):
    noise = np.random.default_rng(0).integers(levels, size=(64, 48, channels))
    plain, random = (png_bits_per_dim(image, levels=levels) for image in (0 * noise, noise))
    assert plain < 0.3 * random
    assert random > np.log2(levels)  # nothing beats the entropy
