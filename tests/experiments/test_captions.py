"""The information in captions, captions of one meaning, and the reading of scenes."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tiny import settings_of, tiny_experiment, tiny_splits

from experiments.extensions.captions import Config, caption_information, make_experiment, picture_source, report
from experiments.extensions.scene_reader import check_reader, one_caption_of_each, recognise, word_by_word
from pixelcnn_jax import InputError
from pixelcnn_jax.data.dataset import read_all
from pixelcnn_jax.data.scenes import SCENES, draw_scene


def test_the_captions_of_a_scene_are_one_and_of_other_labels_none_are():
    first = {"caption": np.array([[1, 2], [3, 4]]), "label": np.array([7, 5])}
    second = {"caption": np.array([[2, 1], [1, 2]]), "label": np.array([7, 7])}
    meanings, captions = one_caption_of_each([first, second], len(SCENES))
    assert [x.tolist() for x in meanings] == [[1, 0], [1, 1]]
    np.testing.assert_array_equal(captions, [[3, 4], [1, 2]])
    meanings, captions = one_caption_of_each([first, second], 8)
    assert [x.tolist() for x in meanings] == [[0, 2], [1, 0]]
    np.testing.assert_array_equal(captions, [[1, 2], [2, 1], [3, 4]])


def test_what_captions_are_worth_by_hand():
    nats = np.log([[2.0, 8.0, 5.0], [4.0, 1.0, 6.0]])  # two captions, and none
    actual = caption_information(nats, np.array([0, 0]), np.random.default_rng(0))
    assert actual["nats_with_the_right_caption"] == pytest.approx(np.log(8) / 2)
    assert actual["nats_with_a_wrong_caption"] == pytest.approx(np.log(8) / 2)
    assert actual["nats_with_no_caption"] == pytest.approx(np.log(30) / 2)
    assert actual["nats_of_all_captions_mixed"] == pytest.approx(-np.log([(1 / 2 + 1 / 8) / 2, (1 / 4 + 1) / 2]).mean())
    assert actual["bayes_accuracy"] == 0.5


def test_images_are_scored_under_a_bounded_number_of_captions(monkeypatch):
    monkeypatch.setattr("experiments.extensions.captions.MAX_CAPTIONS", 9)
    experiment, params, splits = tiny_experiment("captions")
    figures = report(settings_of("captions"), experiment, splits, params)
    assert figures["validation_images"] == figures["test_images"] == 4
    assert 1 < figures["distinct_captions"] <= 8


def test_hidden_captions_are_hidden_in_training_alone():
    experiment, params, splits = tiny_experiment("captions", {"settings.drop_condition": 0.999, "model.dropout": 0.0})
    params, loss = jax.tree.map(lambda x: x + 0.1, params), jax.jit(experiment.loss)
    batch = {name: jnp.asarray(x[:4]) for name, x in read_all(splits.train).items()}
    given, blank = (loss(params, batch | {"caption": batch["caption"] * kept}, None) for kept in (1, 0))
    np.testing.assert_allclose(loss(params, batch, jax.random.key(0)), blank, rtol=1e-5)
    assert np.abs(given - blank).min() > 1e-3


def test_the_picture_has_a_caption_for_each_row():
    config = settings_of("captions")
    source = picture_source(config, tiny_splits(config))
    assert source.shape == (4, 4, 2)
    for row in source[:-1]:
        assert len(np.unique(row, axis=0)) == 1
    assert len(np.unique(source[:-1, 0], axis=0)) == 3


def test_a_walk_changes_a_word_at_a_time_and_the_words_take_turns():
    captions = np.array([[a, b] for a in range(3) for b in range(3)])
    walk = word_by_word(captions[0], captions[::-1], 5)
    changes = walk[1:] != walk[:-1]
    assert changes.sum(axis=1).tolist() == [1, 1, 1, 1]
    assert changes.sum(axis=0).tolist() == [2, 2]
    assert len(np.unique(walk, axis=0)) == 5
    np.testing.assert_array_equal(word_by_word(captions[0], captions[[0, 4]], 3), captions[[0, 0, 0]])


def test_scenes_are_read_as_they_were_drawn():
    """By a reader that knows a digit by its intensity, from drawings as narrow as a one."""
    drawings = [[np.zeros((14, 14), np.uint8)] for _ in range(10)]
    for digit, (drawing,) in enumerate(drawings):
        drawing[2:12, 6 - digit // 2 : 8 + digit // 2] = digit + 1
    random = np.random.default_rng(0)
    images = np.stack([draw_scene(scene, drawings, random, size=32) for scene in SCENES])
    assert recognise(images, lambda windows: windows.max(axis=(1, 2, 3)) - 1) == list(SCENES)
    assert recognise(np.zeros((1, 32, 32, 1), int), lambda windows: np.zeros(len(windows), int))[0].places == ()


def test_images_without_captions_and_readers_of_other_digits_are_refused(workdirs):
    config = settings_of("captions")
    splits = tiny_splits(config)
    with pytest.raises(InputError, match=r"config\.data\.captions"):
        make_experiment(config, replace(splits.spec, words=None))
    config = replace(config, section=Config(classifier=str(workdirs("classifier"))))
    scenes = splits._replace(train=replace(splits.train, spec=replace(splits.spec, classes=240)))
    with pytest.raises(InputError, match="must read ImageSpec"):
        check_reader(config, scenes)
    with pytest.raises(InputError, match="without scan or invert"):
        check_reader(replace(config, data=replace(config.data, scan="columns")), scenes)
