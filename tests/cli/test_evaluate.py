"""The verb ``evaluate``: the figures of a card come out again."""

import json
import re
import sys
from dataclasses import replace

import jax
import numpy as np
import pytest
from tiny_runs import finished

from pixelcnn_jax import GatedPixelCNN, load_pretrained, log_prob
from pixelcnn_jax.data.dataset import read_all
from pixelcnn_jax.data.loading import load
from pixelcnn_jax.data.views import symmetries
from pixelcnn_jax.models.conditioning.conditional_model import ConditionalModel, ConstantCondition, part_of
from pixelcnn_jax.models.inputs import ImageSpec
from pixelcnn_jax.zoo.pretrained import read_card, save_pretrained


def test_the_figures_of_a_card_come_out_again(pixelcnn):
    actual = json.loads(pixelcnn("evaluate", "digits", "--json"))
    printed = read_card("digits")["scores"]["test"]
    assert actual.pop("interval") == pytest.approx([77.34, 79.19], abs=0.01)
    names = {name: actual.pop(name) for name in ("model", "split", "mean_over", "data", "images")}
    assert names == {"model": "digits", "split": "test", "mean_over": None} | {
        name: printed.pop(name) for name in ("data", "images")
    }
    assert actual == {name: pytest.approx(figure, rel=1e-5) for name, figure in printed.items()}
    assert "1.8217 bits/dim" in pixelcnn("evaluate", "digits", "--split", "validation")


def test_a_figure_comes_out_again_as_a_user_does_it(monkeypatch):
    """In a process of its own, whose devices are still to be chosen, and by programs that XLA optimises."""
    for name in ("JAX_NUM_CPU_DEVICES", "XLA_FLAGS"):
        monkeypatch.delenv(name, raising=False)
    line = [sys.executable, "-m", "pixelcnn_jax.cli", "evaluate", "digits", "--split", "validation", "--json"]
    expected = read_card("digits")["scores"]["validation"]["nats"]
    np.testing.assert_allclose(json.loads(finished(line))["nats"], expected, rtol=1e-6)


def test_a_class_conditional_model_is_given_the_labels(pixelcnn, tmp_path):
    """The label of each image, and not always the same: by a model to which the label is everything."""
    model, _, card = load_pretrained("digits")
    data = card["config"]["data"] | {"labels": True}
    spec = replace(card["image_spec"], classes=10)
    variables = model.init(jax.random.key(0), np.zeros((1, 8, 8, 1), int), np.zeros((1, 10), np.float32))
    card = {"image_spec": spec, "density": "p(x|y)", "config": {"data": data}}
    save_pretrained(tmp_path, model, variables, card)
    actual = json.loads(pixelcnn("evaluate", tmp_path, "--json"))
    everything = read_all(load("digits", "test", levels=17, labels=True))
    h = jax.nn.one_hot(everything["label"], 10)
    expected = -log_prob(model, variables, everything["image"], h=h).mean()
    np.testing.assert_allclose(actual["nats"], expected, rtol=1e-5)


@pytest.mark.parametrize(("changes", "images"), [({}, 1), ({"resize": 16, "patch": 8}, 4)])
def test_a_single_image_and_its_patches_have_no_interval(pixelcnn, tmp_path, changes, images):
    model, variables, card = load_pretrained("digits")
    card["config"]["data"] |= {"test_split": "test[:1]"} | changes
    save_pretrained(tmp_path, model, variables, card)
    actual = json.loads(pixelcnn("evaluate", tmp_path, "--json"))  # strict JSON has no infinity
    assert (actual["images"], actual["interval"]) == (images, None)
    assert "95 %" not in pixelcnn("evaluate", tmp_path)


@pytest.mark.parametrize(("scan", "axes"), [("rows", (0, 1, 2, 3)), ("columns", (0, 2, 1, 3))])
def test_the_mean_with_the_mirror_image_is_a_density_of_both_as_a_person_sees_them(pixelcnn, tmp_path, scan, axes):
    model, variables, card = load_pretrained("digits")
    card["config"]["data"]["scan"] = scan  # by columns, the model reads each image transposed
    save_pretrained(tmp_path, model, variables, card)
    images = read_all(load("digits", "test", levels=17))["image"]
    both = [log_prob(model, variables, x.transpose(axes)) for x in (images, images[:, :, ::-1])]
    actual = json.loads(pixelcnn("evaluate", tmp_path, "--mean-over=mirrored", "--json"))
    assert actual["mean_over"] == "mirrored"
    np.testing.assert_allclose(actual["nats"], -np.mean(np.logaddexp(*both) - np.log(2)), rtol=1e-5)


def test_the_mean_over_views_is_that_of_the_density_of_each_view(pixelcnn, tmp_path):
    _, _, card = load_pretrained("digits")
    network = GatedPixelCNN(levels=17, features=4, layers=1)
    model = ConditionalModel(network, ConstantCondition(16, index=5))
    variables = model.init(jax.random.key(0), np.zeros((1, 8, 8, 1), int))
    save_pretrained(tmp_path, model, variables, card | {"views": list(range(16))})
    images = read_all(load("digits", "test", levels=17))["image"]
    each = [
        log_prob(network, part_of(variables, "network"), view(images), h=np.full(len(images), index))
        for index, view in enumerate(symmetries(8, 8))
    ]
    actual = json.loads(pixelcnn("evaluate", tmp_path, "--mean-over=views", "--json"))
    expected = np.log(8) - jax.nn.logsumexp(np.stack(each), axis=0)
    np.testing.assert_allclose(actual["nats"], expected.mean(), rtol=1e-5)
    assert "not digits" in pixelcnn("evaluate", "digits", "--mean-over=views", mistake=True)
    named = [0, 3, 9]  # a rotation, and a move, which loses pixels
    save_pretrained(tmp_path, model, variables, card | {"views": named})
    actual = json.loads(pixelcnn("evaluate", tmp_path, "--mean-over=views", "--json"))
    np.testing.assert_allclose(actual["nats"], (np.log(2) - np.logaddexp(each[0], each[3])).mean(), rtol=1e-5)
    alone = json.loads(pixelcnn("evaluate", tmp_path, "--json"))  # the density that was saved
    np.testing.assert_allclose(alone["nats"], -log_prob(model, variables, images).mean(), rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"config": {}}, "does not record its data set: use pixelcnn_jax.evaluate"),
        ({"config": {"data": {"dataset": "array", "levels": 17}}}, "--data-dir"),
        ({"config": {"data": {"dataset": "digits", "test_split": ""}}}, "test split.*--split=validation"),
        ({"config": {"data": {"dataset": "digits", "levels": 17, "test_split": "tset"}}}, "tset"),
        ({"config": {"data": {"dataset": "digits", "levels": 17, "test_split": "test", "wings": 2}}}, "wings"),
        ({"image_spec": ImageSpec(8, 9, 1, 17, None)}, "8, width=9|width=9"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(pixelcnn, tmp_path, changes, named):
    model, variables, card = load_pretrained("digits")
    save_pretrained(tmp_path, model, variables, card | changes)
    assert re.search(named, pixelcnn("evaluate", tmp_path, mistake=True))


def test_data_that_is_not_there_is_one_sentence(pixelcnn, tmp_path):
    assert read_card("mnist")["config"]["data"]["dataset"] == "mnist"
    sentence = pixelcnn("evaluate", "mnist", "--data-dir", tmp_path, mistake=True)
    assert "mnist" in sentence
    assert "--config" not in sentence  # evaluate has no such option
