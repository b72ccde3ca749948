"""The verb ``sample``: the grid holds the images that ``sample`` draws."""

import json

import jax
import numpy as np
import pytest
from PIL import Image

from pixelcnn_jax import load_pretrained, sample
from pixelcnn_jax.data.image_files import grid


def shrunk(file, height):
    """The pixels of a picture whose pixels were enlarged."""
    pixels = np.asarray(Image.open(file))
    scale = len(pixels) // height
    return pixels[scale // 2 :: scale, scale // 2 :: scale]


def test_the_grid_holds_the_samples(pixelcnn, colour_model, tmp_path):
    out = pixelcnn("sample", colour_model, "-o", tmp_path / "g.png", "--count", 5, "--seed", 3, "--json")
    assert json.loads(out) == {"model": str(colour_model), "images": 5, "seed": 3, "output": str(tmp_path / "g.png")}
    model, variables, _ = load_pretrained(colour_model)
    images = np.zeros((6, 6, 5, 3), np.int32)
    images[:5] = sample(model, variables, jax.random.key(3), shape=(5, 6, 5))
    expected = grid(images.reshape(2, 3, 6, 5, 3), levels=4)
    np.testing.assert_array_equal(shrunk(tmp_path / "g.png", len(expected)), expected)


@pytest.mark.parametrize(
    ("options", "labels", "columns"),
    [(["--label", 1, "--count", 4], [1] * 4, 2), (["--count", 3], [0] * 3 + [1] * 3, 3)],
)
def test_a_label_or_a_row_for_each_class(pixelcnn, class_model, tmp_path, options, labels, columns):
    pixelcnn("sample", class_model, "-o", tmp_path / "g.png", *options)
    model, variables, _ = load_pretrained(class_model)
    images = sample(
        model, variables, jax.random.key(0), shape=(len(labels), 4, 4), h=np.eye(2, dtype=np.float32)[labels]
    )
    expected = grid(images.reshape(-1, columns, 4, 4, 1), levels=3)[..., 0]
    np.testing.assert_array_equal(shrunk(tmp_path / "g.png", len(expected)), expected)


@pytest.mark.parametrize(("model", "label"), [("class_model", 2), ("colour_model", 0)])
def test_a_label_that_does_not_fit_is_refused(pixelcnn, request, model, label, tmp_path):
    folder = request.getfixturevalue(model)
    assert "--label" in pixelcnn("sample", folder, "-o", tmp_path / "g.png", "--label", label, mistake=True)
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="session")
def caption_model(tmp_path_factory):
    """A model of 4x4 grey images with 3 levels, given sentences of three words."""
    from pixelcnn_jax import GatedPixelCNN
    from pixelcnn_jax.models.conditional import ConditionalModel
    from pixelcnn_jax.models.inputs import ImageSpec
    from pixelcnn_jax.models.text_encoder import TextEncoder
    from pixelcnn_jax.pretrained import save_pretrained

    words = ("blue", "circle", "red")
    model = ConditionalModel(GatedPixelCNN(levels=3, features=8, layers=1), TextEncoder((4, 4, 2), words, 4, 2))
    variables = model.init(jax.random.key(0), np.zeros((1, 4, 4, 1), np.int32), np.ones((1, 2), np.int32))
    folder = tmp_path_factory.mktemp("captions")
    card = {"image_spec": ImageSpec(4, 4, 1, 3, None, words), "experiment": "captions", "score_of": "p(x|caption)"}
    save_pretrained(folder, model, variables, card)
    return folder


def test_a_sentence_is_what_the_samples_are_given(pixelcnn, caption_model, tmp_path):
    pixelcnn("sample", caption_model, "Red circle.", "-o", tmp_path / "g.png", "--count", 4)
    model, variables, card = load_pretrained(caption_model)
    assert card["image_spec"].words == model.conditioner.words
    h = np.array([[3, 2]] * 4, np.int32)
    images = sample(model, variables, jax.random.key(0), shape=(4, 4, 4), h=h)
    expected = grid(images.reshape(2, 2, 4, 4, 1), levels=3)[..., 0]
    np.testing.assert_array_equal(shrunk(tmp_path / "g.png", len(expected)), expected)


@pytest.mark.parametrize(
    ("model", "given", "named"),
    [
        ("caption_model", [], "SENTENCE must be given"),
        ("caption_model", [""], "must have words"),
        ("caption_model", ["red cirle"], "nearest are circle"),
        ("caption_model", ["red", "--label", 1], "--label"),
        ("colour_model", ["red"], "SENTENCE must be left out"),
        ("class_model", ["red"], "SENTENCE must be left out"),
    ],
)
def test_a_sentence_that_does_not_fit_is_refused(pixelcnn, request, model, given, named, tmp_path):
    folder = request.getfixturevalue(model)
    assert named in pixelcnn("sample", folder, *given, "-o", tmp_path / "g.png", mistake=True)
    assert not list(tmp_path.iterdir())
