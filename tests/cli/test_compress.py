"""The verbs ``compress`` and ``decompress``: files come back to the last bit, or not at all."""

import errno
import json
import re
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelcnn_jax import compress, load_pretrained
from pixelcnn_jax.cli import compress as module
from pixelcnn_jax.cli import quantise
from pixelcnn_jax.codec.container import length_of, unpack
from pixelcnn_jax.data.pictures import as_pixels

ROOT, GOLDEN = Path(__file__).parents[2], Path(__file__).parent / "golden"


def check_same(folder, out):
    for name in ("one.png", "in/two.png", "in/deep/three.bmp"):
        with Image.open(folder / name) as before, Image.open((out / name).with_suffix(".png")) as after:
            np.testing.assert_array_equal(before, after)
    assert len(list(out.rglob("*.*"))) == 3


def test_files_come_back(pixelcnn, integer_model, folder, tmp_path):
    told = pixelcnn("compress", integer_model, folder, "-o", tmp_path / "x", "--tile", 16, "--json")
    assert json.loads(told)["images"] == 3
    summary = json.loads(pixelcnn("decompress", integer_model, tmp_path / "x", "-o", tmp_path / "out", "--json"))
    assert summary["bytes"] == (tmp_path / "x").stat().st_size
    check_same(folder, tmp_path / "out")


def test_a_model_with_a_constant_condition_codes_and_draws(pixelcnn, integer_form, views_model, folder, tmp_path):
    model = integer_form(views_model)
    told = pixelcnn("compress", model, folder / "one.png", "-o", tmp_path / "x")
    assert "\nPNG would be smaller: " in told
    pixelcnn("decompress", model, tmp_path / "x", "-o", tmp_path / "out")
    np.testing.assert_array_equal(Image.open(folder / "one.png"), Image.open(tmp_path / "out/one.png"))
    pixelcnn("sample", model, "-o", tmp_path / "grid.png", "--count", 1)
    assert len(json.loads(pixelcnn("score", model, folder, "--json"))) == 3


def test_a_published_name_codes_with_its_integer_model(pixelcnn, tmp_path):
    generator, (old, new) = np.random.default_rng(0), (GOLDEN / "digits.pcnn", tmp_path / "new")
    for index, name in enumerate(("digits", "digits_integer")):
        pixelcnn("decompress", name, old, "-o", tmp_path / str(index))
    for file in ("1.png", "in/2.png"):
        pixels = as_pixels(generator.integers(17, size=(4, 3, 1)), levels=17)[..., 0]
        np.testing.assert_array_equal(Image.open(tmp_path / "0" / file), pixels)
        np.testing.assert_array_equal(Image.open(tmp_path / "1" / file), pixels)
    assert "by digits_integer" in pixelcnn("compress", "digits", tmp_path / "0", "-o", new)
    assert unpack(new.read_bytes()).streams == unpack(old.read_bytes()).streams
    for other in ("mnist_classes", "cifar10_integer"):
        told = pixelcnn("decompress", other, old, "-o", tmp_path / "no", mistake=True)
        assert re.search("different model|--label is required", told)


def test_a_model_of_ones_own_is_quantised_in_the_shell(pixelcnn, tmp_path, monkeypatch):
    monkeypatch.setattr(quantise, "IMAGES", 4)
    images = as_pixels(np.random.default_rng(0).integers(17, size=(9, 8, 8)), levels=17)
    (tmp_path / "files").mkdir()
    for name, pixels in enumerate(images):
        Image.fromarray(pixels).save(tmp_path / f"files/{name}.png")
    told = json.loads(pixelcnn("quantise", "digits", tmp_path / "files", "-o", tmp_path / "mine", "--json"))
    assert told["images"] == 3  # every third
    assert not load_pretrained(tmp_path / "mine")[2]["scores"]  # those of the card were of the float model
    pixelcnn("compress", tmp_path / "mine", tmp_path / "files", "-o", tmp_path / "x")
    pixelcnn("decompress", tmp_path / "mine", tmp_path / "x", "-o", tmp_path / "out")
    np.testing.assert_array_equal([Image.open(tmp_path / f"out/{name}.png") for name in range(9)], images)


@pytest.mark.parametrize("verb", ["compress", "decompress"])
def test_a_float_model_is_refused_by_name(pixelcnn, colour_model, verb, tmp_path):
    told = pixelcnn(verb, colour_model, GOLDEN / "digits.pcnn", "-o", tmp_path / "x", mistake=True)
    assert "pixelcnn_jax.quantise(model" in told


def test_the_work_that_is_done_unasked_is_bounded(pixelcnn, tmp_path, monkeypatch):
    file = GOLDEN / "digits.pcnn"
    told = pixelcnn("decompress", "digits", file, "-o", tmp_path / "out", "--max-subpixels", 23, mistake=True)
    assert re.search("--max-subpixels must be at least 24 .* takes about", told)
    pixelcnn("decompress", "digits", file, "-o", tmp_path / "out", "--max-subpixels", 24)
    monkeypatch.setattr(module, "DEFAULT_MAX_SUBPIXELS", 23)
    assert "--max-subpixels=24" in pixelcnn("compress", "digits", tmp_path / "out", "-o", tmp_path / "x")


def test_the_label_is_needed_again(pixelcnn, integer_form, class_model, tmp_path):
    model = integer_form(class_model)
    Image.fromarray(np.array([[0, 128, 255, 0]] * 4, np.uint8)).save(tmp_path / "1.png")
    pixelcnn("compress", model, tmp_path / "1.png", "-o", tmp_path / "x", "--label", 1)
    pixelcnn("decompress", model, tmp_path / "x", "-o", tmp_path / "other", "--label", 0, mistake=True)
    pixelcnn("decompress", model, tmp_path / "x", "-o", tmp_path / "out", "--label", 1)
    np.testing.assert_array_equal(Image.open(tmp_path / "1.png"), Image.open(tmp_path / "out/1.png"))
    assert not (tmp_path / "other").exists()
    for name in (names := ("red/1.png", "test/1/1.png")):
        shutil.copytree(tmp_path / "out", (tmp_path / "in" / name).parent)
    pixelcnn("compress", model, tmp_path / "in", "-o", tmp_path / "y", "--label=folder")
    pixelcnn("decompress", model, tmp_path / "y", "-o", tmp_path / "other", "--label", 1, mistake=True)
    pixelcnn("decompress", model, tmp_path / "y", "-o", tmp_path / "back", "--label=folder")
    for name in names:
        np.testing.assert_array_equal(Image.open(tmp_path / "1.png"), Image.open(tmp_path / "back" / name))


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda folder: (folder / "one.png").write_bytes(b"no image"), "one.png"),
        (lambda folder: Image.new("L", (5, 6)).save(folder / "grey.png"), "grey.png"),
        (lambda folder: Image.new("RGBA", (5, 6)).save(folder / "clear.png"), "clear.png"),
        (lambda folder: Image.new("RGB", (5, 6), (9, 0, 0)).save(folder / "nine.png"), "value 9"),
        (lambda folder: Image.new("RGB", (5, 6)).save(folder / "one.bmp"), "one.png.*rename"),
        (lambda folder: [file.unlink() for file in folder.rglob("*.*")], "No images found"),
        (lambda folder: (folder / "one.png").rename(folder / "o:ne.png"), "o:ne.png.*rename"),
        (lambda folder: (folder / "one.png").rename(folder / f"{220 * 'x'}.png"), "rename"),
        (lambda folder: (folder.parent / "x").write_text(""), "already exists"),
    ],
)
def test_files_that_cannot_be_kept_are_refused(pixelcnn, integer_model, folder, tmp_path, spoil, named):
    spoil(folder)
    assert re.search(named, pixelcnn("compress", integer_model, folder, "-o", tmp_path / "x", mistake=True))
    assert not (tmp_path / "x").exists() or (tmp_path / "x").read_text() == ""


@pytest.mark.parametrize("facts", [{"names": ["../x.png"]}, {"names": []}, {"parts": 2}, {"part": 1}, []])
def test_a_file_that_lies_about_its_names_is_refused(pixelcnn, integer_model, tmp_path, facts):
    model, variables, _ = load_pretrained(integer_model)
    facts = {"part": 0, "parts": 1, "names": ["x.png"]} | facts if isinstance(facts, dict) else facts
    extra = zlib.compress(json.dumps(facts).encode())
    (tmp_path / "x").write_bytes(compress(model, variables, np.zeros((1, 2, 2, 3), int), verify=False, extra=extra))
    sentence = pixelcnn("decompress", integer_model, tmp_path / "x", "-o", tmp_path / "out", mistake=True)
    assert "x cannot be decompressed" in sentence
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_images_appear_when_all_are_written(pixelcnn, integer_model, folder, tmp_path, monkeypatch):
    pixelcnn("compress", integer_model, folder, "-o", tmp_path / "x", "--no-verify")
    written, write, line = [], module.write_image, ["decompress", integer_model, tmp_path / "x", "-o", tmp_path / "out"]

    def full(file, pixels):
        write(file, pixels)
        written.append(file)
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device", str(file))

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_image", full)
        assert "No space left" in pixelcnn(*line, mistake=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "x"]
    (tmp_path / "out").mkdir()  # an empty folder will do
    pixelcnn(*line)
    check_same(folder, tmp_path / "out")
    assert "already exists" in pixelcnn(*line, mistake=True)


def test_the_current_folder_and_a_link_to_a_folder_are_outputs(pixelcnn, integer_model, folder, tmp_path, monkeypatch):
    pixelcnn("compress", integer_model, folder, "-o", tmp_path / "x", "--no-verify")
    for name in ("here", "linked"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "linked")
    pixelcnn("decompress", integer_model, tmp_path / "x", "-o", tmp_path / "link")
    check_same(folder, tmp_path / "linked")
    monkeypatch.chdir(tmp_path / "here")
    pixelcnn("decompress", integer_model, tmp_path / "x", "-o", ".")
    check_same(folder, Path())  # it is still the current folder


def test_a_file_cut_between_two_sizes_is_refused(pixelcnn, integer_model, folder, tmp_path):
    whole, cut, out = tmp_path / "whole", tmp_path / "cut", tmp_path / "out"
    pixelcnn("compress", integer_model, folder, "-o", whole, "--no-verify")
    data = whole.read_bytes()
    for content in (data[: length_of(data)], b"", data[length_of(data) :], data[:-1], data + b"x"):
        cut.write_bytes(content)
        assert "cut cannot be decompressed" in pixelcnn("decompress", integer_model, cut, "-o", out, mistake=True)
    assert "unsafe or not unique" in pixelcnn("decompress", integer_model, whole, whole, "-o", out, mistake=True)
    assert not out.exists()
