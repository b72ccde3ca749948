import io
import os
import struct
import warnings
import zlib
from functools import partial

import numpy as np
import PIL.Image
import pytest
from image_helpers import pillow, ramp, save

from pixelcnn_jax.data import pictures
from pixelcnn_jax.data.image_files import decode, kind_of, read_image
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


def test_programs_are_not_run(tmp_path):
    """Pillow would hand PostScript to Ghostscript, whatever the file is called."""
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 5 5\n%%EndComments\nshowpage\n")
    with pytest.raises(InputError, match="cannot be read"):
        decode(tmp_path / "a.png", colour=True)


def sideways(folder):
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # orientation: turn clockwise
    pillow(ramp(1)[0]).save(folder / "a.png", exif=exif)
    return folder / "a.png"


def test_photographs_taken_sideways_are_turned(tmp_path):
    assert np.array_equal(decode(sideways(tmp_path), colour=False), np.rot90(ramp(1)[0], -1))
    pillow(ramp(1)[0]).save(tmp_path / "a.tif", tiffinfo={0x0112: 6})  # whose pixels Pillow would map
    assert np.array_equal(decode(tmp_path / "a.tif", colour=False), np.rot90(ramp(1)[0], -1))


def test_files_of_fewer_levels_are_scaled(tmp_path):
    for name, content in (("a.ppm", b"P3 1 1 100 0 50 100"), ("b.ppm", b"P6 1 1 100 \0\x32\x64")):
        (tmp_path / name).write_bytes(content)
        assert decode(tmp_path / name, colour=True).ravel().tolist() == [0, 128, 255]


def encoded(image, file_format, **options):
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


UNREADABLE = {
    "text": (b"no image", "cannot be read"),
    "truncated": (encoded(pillow(ramp(1, channels=3)[0]), "png")[:60], "cannot be read"),
    "16-bit colours": (png_of(6, 4, 16, 2, (b"\0" + b"\1\2" * 3 * 6) * 4), "8 bits"),
    "16-bit plain PPM": (b"P3 6 4 65535 " + 72 * b"300 ", "8 bits"),
    "several": (
        encoded(PIL.Image.new("L", (6, 4)), "gif", save_all=True, append_images=[PIL.Image.new("L", (6, 4), 9)]),
        "several",
    ),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_refusals(tmp_path, name):
    content, match = UNREADABLE[name]
    (tmp_path / "b.png").write_bytes(content)
    for read in (lambda file: decode(file, colour=True), lambda file: read_image(file, channels=3)):
        with pytest.raises(InputError, match=rf"b\.png.* {match}"):
            read(tmp_path / "b.png")


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
    save(pillow(image), tmp_path, "b.png")
    assert np.array_equal(read_image(tmp_path / "b.png", channels=channels), image)


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
