"""The verbs ``compress`` and ``decompress``: files come back to the last bit, or not at all."""

import errno
import json
import re
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixelcnn_jax import compress, load_pretrained
from pixelcnn_jax.cli import compress as module
from pixelcnn_jax.codec.container import Container, GroupContainer, length_of, unpack

ROOT = Path(__file__).parents[2]


def check_same(folder, out):
    for name in ("one.png", "in/two.png", "in/deep/three.bmp"):
        with Image.open(folder / name) as before, Image.open((out / name).with_suffix(".png")) as after:
            np.testing.assert_array_equal(before, after)
    assert len(list(out.rglob("*.*"))) == 3


def test_files_come_back_from_another_process(pixelcnn, colour_model, folder, tmp_path):
    line = [sys.executable, "-m", "pixelcnn_jax.cli", "compress", colour_model, folder, "-o", tmp_path / "x", "--json"]
    done = subprocess.run([str(word) for word in line], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["images"] == 3
    assert not done.stderr
    summary = json.loads(pixelcnn("decompress", colour_model, tmp_path / "x", "-o", tmp_path / "out", "--json"))
    assert summary["bytes"] == (tmp_path / "x").stat().st_size
    check_same(folder, tmp_path / "out")


def test_a_model_with_a_constant_condition_codes_and_draws(pixelcnn, views_model, folder, tmp_path):
    pixelcnn("compress", views_model, folder / "one.png", "-o", tmp_path / "x")
    pixelcnn("decompress", views_model, tmp_path / "x", "-o", tmp_path / "out")
    np.testing.assert_array_equal(Image.open(folder / "one.png"), Image.open(tmp_path / "out/one.png"))
    pixelcnn("sample", views_model, "-o", tmp_path / "grid.png", "--count", 1)
    assert len(json.loads(pixelcnn("score", views_model, folder, "--json"))) == 3


def test_a_published_model_codes_with_its_integer_twin(pixelcnn, tmp_path):
    Image.fromarray(np.array([[0, 255] * 4] * 8, np.uint8)).save(tmp_path / "1.png")
    for kind, flags in ((GroupContainer, ()), (Container, ("--float",))):
        file, out = tmp_path / kind.__name__, tmp_path / f"{kind.__name__}-out"
        pixelcnn("compress", "digits", tmp_path / "1.png", "-o", file, *flags)
        assert isinstance(unpack(file.read_bytes()), kind)
        pixelcnn("decompress", "digits", file, "-o", out)
        np.testing.assert_array_equal(Image.open(tmp_path / "1.png"), Image.open(out / "1.png"))
    twin = tmp_path / "GroupContainer"
    for other in ("mnist_classes", "binarized_mnist_int8_v1"):
        told = pixelcnn("decompress", other, twin, "-o", tmp_path / "no", mistake=True)
        assert f"{other} is not" in told
        assert "it was digits_int8_v1" in told


def test_it_says_who_can_read_the_file(pixelcnn, colour_model, folder, tmp_path):
    found = json.loads(pixelcnn("compress", colour_model, folder, "-o", tmp_path / "x", "--json"))
    assert (found["portable"], found["model"]) == (False, str(colour_model))
    assert "only this version of jax" in pixelcnn("compress", colour_model, folder, "-o", tmp_path / "y")


def test_the_label_is_needed_again(pixelcnn, class_model, tmp_path):
    Image.fromarray(np.array([[0, 128, 255, 0]] * 4, np.uint8)).save(tmp_path / "1.png")
    pixelcnn("compress", class_model, tmp_path / "1.png", "-o", tmp_path / "x", "--label", 1)
    pixelcnn("decompress", class_model, tmp_path / "x", "-o", tmp_path / "other", "--label", 0, mistake=True)
    pixelcnn("decompress", class_model, tmp_path / "x", "-o", tmp_path / "out", "--label", 1)
    np.testing.assert_array_equal(Image.open(tmp_path / "1.png"), Image.open(tmp_path / "out/1.png"))
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda folder: (folder / "one.png").write_bytes(b"no image"), "one.png"),
        (lambda folder: Image.new("L", (5, 6)).save(folder / "grey.png"), "grey.png"),
        (lambda folder: Image.new("RGBA", (5, 6)).save(folder / "clear.png"), "clear.png"),
        (lambda folder: Image.new("RGB", (5, 6), (9, 0, 0)).save(folder / "nine.png"), "value 9"),
        (lambda folder: Image.new("RGB", (5, 6)).save(folder / "one.bmp"), "differ"),
        (lambda folder: [file.unlink() for file in folder.rglob("*.*")], "must hold images"),
        (lambda folder: (folder / "one.png").rename(folder / "o:ne.png"), "o:ne.png.*rename"),
        (lambda folder: (folder / "one.png").rename(folder / "o\nne.png"), "rename"),
        (lambda folder: (folder / "one.png").rename(folder / f"{220 * 'x'}.png"), "rename"),
        (lambda folder: (folder.parent / "x").write_text(""), "must be new"),
    ],
)
def test_files_that_cannot_be_kept_are_refused(pixelcnn, colour_model, folder, tmp_path, spoil, named):
    spoil(folder)
    sentence = pixelcnn("compress", colour_model, folder, "-o", tmp_path / "x", mistake=True)
    assert re.search(named, sentence)
    assert not (tmp_path / "x").exists() or (tmp_path / "x").read_text() == ""


@pytest.mark.parametrize("facts", [{"names": ["../x.png"]}, {"names": []}, {"parts": 2}, {"part": 1}, []])
def test_a_file_that_lies_about_its_names_is_refused(pixelcnn, colour_model, tmp_path, facts):
    model, variables, _ = load_pretrained(colour_model)
    facts = {"part": 0, "parts": 1, "names": ["x.png"]} | facts if isinstance(facts, dict) else facts
    extra = zlib.compress(json.dumps(facts).encode())
    (tmp_path / "x").write_bytes(compress(model, variables, np.zeros((1, 2, 2, 3), int), verify=False, extra=extra))
    sentence = pixelcnn("decompress", colour_model, tmp_path / "x", "-o", tmp_path / "out", mistake=True)
    assert "x cannot be decompressed" in sentence
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_images_appear_when_all_are_written(pixelcnn, colour_model, folder, tmp_path, monkeypatch):
    pixelcnn("compress", colour_model, folder, "-o", tmp_path / "x", "--no-verify")
    written, write = [], module.write_image

    def full(file, pixels):
        write(file, pixels)
        written.append(file)
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device", str(file))

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_image", full)
        sentence = pixelcnn("decompress", colour_model, tmp_path / "x", "-o", tmp_path / "out", mistake=True)
    assert "No space left" in sentence
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "x"]
    (tmp_path / "out").mkdir()  # an empty folder will do
    pixelcnn("decompress", colour_model, tmp_path / "x", "-o", tmp_path / "out")
    check_same(folder, tmp_path / "out")
    assert "must be new" in pixelcnn("decompress", colour_model, tmp_path / "x", "-o", tmp_path / "out", mistake=True)


def test_the_current_folder_and_a_link_to_a_folder_are_outputs(pixelcnn, colour_model, folder, tmp_path, monkeypatch):
    pixelcnn("compress", colour_model, folder, "-o", tmp_path / "x", "--no-verify")
    for name in ("here", "linked"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "linked")
    pixelcnn("decompress", colour_model, tmp_path / "x", "-o", tmp_path / "link")
    check_same(folder, tmp_path / "linked")
    monkeypatch.chdir(tmp_path / "here")
    pixelcnn("decompress", colour_model, tmp_path / "x", "-o", ".")
    check_same(folder, Path())  # it is still the current folder


def test_a_file_that_has_the_name_of_the_temporary_one_stays(pixelcnn, colour_model, folder, tmp_path):
    (tmp_path / "x.part").write_text("mine")
    assert "x.part" in pixelcnn("compress", colour_model, folder, "-o", tmp_path / "x", mistake=True)
    assert (tmp_path / "x.part").read_text() == "mine"


def test_a_file_cut_between_two_sizes_is_refused(pixelcnn, colour_model, folder, tmp_path):
    whole, cut, out = tmp_path / "whole", tmp_path / "cut", tmp_path / "out"
    pixelcnn("compress", colour_model, folder, "-o", whole, "--no-verify")
    data = whole.read_bytes()
    for content in (data[: length_of(data)], b"", data[length_of(data) :], data[:-1], data + b"x"):
        cut.write_bytes(content)
        assert "cut cannot be decompressed" in pixelcnn("decompress", colour_model, cut, "-o", out, mistake=True)
    assert "two images" in pixelcnn("decompress", colour_model, whole, whole, "-o", out, mistake=True)
    assert not out.exists()
