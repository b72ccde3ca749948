"""Scenes with sentences: a pure function of split and index, and nothing held out is trained on."""

import numpy as np
import pytest

from pixelcnn_jax.data import loading
from pixelcnn_jax.data.arrays import array_source
from pixelcnn_jax.data.dataset import read_all
from pixelcnn_jax.data.loading import load
from pixelcnn_jax.data.scenes import HELD_OUT, LENGTH, PLACES, SCENES, WORDS, draw_scene
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.conditioning.text_encoder import tokenise


@pytest.fixture
def mnist(monkeypatch):
    """A stand-in: the drawings of digit d have all pixels at 100 + d, those of test at 200 + d."""

    def read(name, split, *, data_dir, labels, download):
        assert (name, labels) == ("mnist", True)
        labels = np.arange(40) % 10
        images = np.full((40, 28, 28), 100, np.uint8) + labels[:, None, None].astype(np.uint8)
        return array_source(name, images + np.uint8(100 * (split.name == "test")), labels, levels=256, classes=10)

    monkeypatch.setattr(loading, "read_tfds", read)


def scenes(split, **options):
    return load("mnist_scenes/32x32", split, captions=True, labels=True, **options)


def test_a_scene_is_a_pure_function_of_its_split_and_index(mnist):
    first, again = read_all(scenes("train[:50]")), read_all(scenes("train[:50]"))
    other = read_all(scenes("validation[:50]"))
    for name in ("image", "caption", "label"):
        np.testing.assert_array_equal(first[name], again[name])
        assert (first[name] != other[name]).any()
    np.testing.assert_array_equal(scenes("train[20:50]").example(7)["image"], first["image"][27])


def test_held_out_scenes_are_never_trained_on_and_are_all_of_their_split(mnist):
    for split, held_out in (("train[:5000]", False), ("validation", False), ("test", False), ("held_out", True)):
        labels = scenes(split).labels()
        assert {SCENES[label].is_held_out() for label in labels} == {held_out}
        assert len(set(labels)) == (42 if held_out else 198)  # all scenes of the split occur
    pairs = [(digit, place) for scene in SCENES for digit, place in zip(*scene, strict=True) if not scene.is_held_out()]
    assert {(digit, place) for place in PLACES for digit in range(10)} - set(pairs) == {
        (digit, place) for place, digit in HELD_OUT.items()
    }


def test_a_caption_says_what_the_image_shows_and_a_digit_of_another_size_stays_in_its_place(mnist):
    actual = read_all(scenes("test[:300]"))
    for image, caption, label in zip(actual["image"], actual["caption"], actual["label"], strict=True):
        assert caption.tolist() in [tokenise(text, WORDS, length=LENGTH).tolist() for text in SCENES[label].captions()]
        scene = SCENES[label]
        assert set(np.unique(image)) == {0} | {200 + digit for digit in scene.digits}
        for digit, place in zip(scene.digits, scene.places, strict=True):
            rows, columns, _ = np.nonzero(image == 200 + digit)
            side = [("top", rows, True), ("bottom", rows, False), ("left", columns, True), ("right", columns, False)]
            if len(set(scene.digits)) == len(scene.digits):
                assert all(
                    (where.max() < 16) if first else (where.min() >= 16) for n, where, first in side if n in place
                )
    drawings = [[np.full((28, 28), 255, np.uint8)]] * 10
    for scene in SCENES[::10]:
        image = draw_scene(scene, drawings, np.random.default_rng(0), size=60)
        assert (image > 0).sum() == len(scene.digits) * 28**2


def test_what_is_not_there_is_refused(mnist):
    for name, split, named in (
        ("mnist_scenes/33x33", "train", "32x32, mnist_scenes/60x60"),
        ("", "nothing", "held_out"),
    ):
        with pytest.raises(InputError, match=named):
            load(name or "mnist_scenes/32x32", split)
    with pytest.raises(InputError, match="captions"):
        load("digits", "train", captions=True)
    assert loading.load("mnist_scenes/32x32", "test[:10]").spec.words is None
