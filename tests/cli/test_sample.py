"""The verb ``sample``: the grid holds the images that ``sample`` draws."""

import json

import jax
import numpy as np
import pytest
from PIL import Image

from pixelcnn_jax import load_pretrained, sample
from pixelcnn_jax.cli import options
from pixelcnn_jax.data.pictures import as_levels, grid


def assert_shows(file, images, columns, levels):
    """The picture is the grid of the images, enlarged."""
    images = np.asarray(images)
    expected = grid(images.reshape(-1, columns, *images.shape[1:]), levels=levels)
    pixels = np.asarray(Image.open(file))
    scale = len(pixels) // len(expected)
    np.testing.assert_array_equal(pixels[scale // 2 :: scale, scale // 2 :: scale].reshape(expected.shape), expected)


def test_the_grid_holds_the_samples(pixelcnn, colour_model, tmp_path):
    out = pixelcnn("sample", colour_model, "-o", tmp_path / "g.png", "--count", 5, "--seed", 3, "--json")
    assert json.loads(out) == {"model": str(colour_model), "images": 5, "seed": 3, "output": str(tmp_path / "g.png")}
    model, variables, _ = load_pretrained(colour_model)
    images = np.zeros((6, 6, 5, 3), np.int32)
    images[:5] = sample(model, variables, jax.random.key(3), shape=(5, 6, 5))
    assert_shows(tmp_path / "g.png", images, 3, levels=4)


@pytest.mark.parametrize(
    ("options", "labels", "columns"),
    [
        (["--label", 1, "--count", 4], [1] * 4, 2),
        (["--label", 0, "--count", 4], [0] * 4, 2),
        (["--label", "red", "--count", 4], [0] * 4, 2),
        (["--count", 3], [0] * 3 + [1] * 3, 3),
    ],
)
def test_a_label_or_a_row_for_each_class(pixelcnn, class_model, tmp_path, options, labels, columns):
    pixelcnn("sample", class_model, "-o", tmp_path / "g.png", *options)
    model, variables, _ = load_pretrained(class_model)
    h = np.eye(2, dtype=np.float32)[labels]
    images = sample(model, variables, jax.random.key(0), shape=(len(labels), 4, 4), h=h)
    assert_shows(tmp_path / "g.png", images, columns, levels=3)


def test_a_grid_of_many_classes_has_fewer_columns(pixelcnn, class_model, tmp_path, monkeypatch):
    monkeypatch.setattr(options, "MAX_BATCH_SUBPIXELS", 5 * 4 * 4)
    assert json.loads(pixelcnn("sample", class_model, "-o", tmp_path / "g.png", "--json"))["images"] == 2 * 2


def test_temperature_and_guidance_are_passed_on(pixelcnn, class_model, tmp_path):
    line = "--label=1", "--count=4", "--temperature=0.5", "--guidance=2"
    pixelcnn("sample", class_model, "-o", tmp_path / "g.png", *line)
    model, variables, _ = load_pretrained(class_model)
    h = np.eye(2, dtype=np.float32)[[1] * 4]
    images = sample(model, variables, jax.random.key(0), shape=(4, 4, 4), h=h, temperature=0.5, guidance=2.0)
    assert_shows(tmp_path / "g.png", images, 2, levels=3)


def test_guidance_of_a_model_that_was_trained_without_it_is_refused(pixelcnn, tmp_path):
    line = ("sample", "mnist_classes", "-o", tmp_path / "g.png", "--guidance=1")
    assert "without dropping the condition" in pixelcnn(*line, mistake=True)


@pytest.fixture
def drawings(tmp_path):
    """Three image files, the last of a different size than the model's images."""
    files = [tmp_path / f"{name}.png" for name in "abc"]
    for number, (file, size) in enumerate(zip(files, ((8, 6), (8, 6), (32, 24)), strict=True)):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 6)).astype(np.uint8)
        Image.fromarray(pixels.repeat(size[0] // 8, axis=0).repeat(size[0] // 8, axis=1)).save(file)
    return files


@pytest.mark.parametrize("guidance", [0, 0.5])
def test_a_few_shot_model_draws_given_examples(pixelcnn, few_shot_model, drawings, guidance):
    out = drawings[0].with_name("grid.png")
    pixelcnn("sample", few_shot_model, *drawings[::2], "-o", out, "--count", 4, f"--guidance={guidance}")
    model, variables, _ = load_pretrained(few_shot_model)
    first, last = (np.asarray(Image.open(file)) for file in (drawings[0], drawings[2]))
    examples = as_levels(np.stack([first, last[::4, ::4]])[None, ..., None], levels=4).astype(np.int32)
    h = np.repeat(examples, 4, axis=0)
    images = sample(model, variables, jax.random.key(0), shape=(4, 8, 6), h=h, guidance=guidance)
    assert_shows(out, images, 2, levels=4)


@pytest.mark.parametrize(
    ("model", "words", "named"),
    [
        ("few_shot_model", [], "needs image files"),
        ("few_shot_model", ["a.png"] * 40, "h must be at most 2 images"),
        ("few_shot_model", ["a.png", "--label", "1"], 'Omit "1"'),
        ("few_shot_model", ["nothing.png"], "nothing.png"),
        ("colour_model", ["a.png"], 'Omit "a.png"'),
        ("class_model", ["red"], 'Omit "red"'),
        ("class_model", ["--label", "2"], "--label"),
        ("class_model", ["--label", "-1"], "--label"),
        ("colour_model", ["--label", "0"], "--label"),
        ("caption_model", [""], "needs a sentence such as"),
        ("caption_model", ["red cirle"], "nearest are circle"),
        ("caption_model", ["red", "--label", "1"], 'Omit "1"'),
    ],
)
def test_a_condition_that_does_not_fit_is_refused(pixelcnn, request, monkeypatch, drawings, model, words, named):
    monkeypatch.chdir(drawings[0].parent)
    assert named in pixelcnn("sample", request.getfixturevalue(model), *words, "-o", "grid.png", mistake=True)
    assert not drawings[0].with_name("grid.png").exists()


def test_other_verbs_refuse_a_model_that_needs_examples(pixelcnn, few_shot_model, drawings):
    assert "p(x|examples)" in pixelcnn("score", few_shot_model, drawings[0], mistake=True)


def test_a_sentence_is_what_the_samples_are_given(pixelcnn, caption_model, tmp_path):
    pixelcnn("sample", caption_model, "Red circle.", "-o", tmp_path / "g.png", "--count", 4)
    model, variables, card = load_pretrained(caption_model)
    assert card["image_spec"].words == model.conditioner.words
    images = sample(model, variables, jax.random.key(0), shape=(4, 4, 4), h=np.array([[3, 2]] * 4, np.int32))
    assert_shows(tmp_path / "g.png", images, 2, levels=3)
