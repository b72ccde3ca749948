"""The verb ``score``: bits/dim of files."""

import csv
import json
import os
import shutil
from io import BytesIO

import jax
import numpy as np
import pytest
from PIL import Image

from pixelcnn_jax import GatedPixelCNN, bits_per_dim, load_pretrained, save_pretrained
from pixelcnn_jax.cli import score as module
from pixelcnn_jax.data.pictures import as_levels, as_pixels


def test_files_are_scored_as_csv_and_json(pixelcnn, colour_model, folder, monkeypatch):
    monkeypatch.setattr(module, "BATCH", 2)
    actual = json.loads(pixelcnn("score", colour_model, folder, "--json"))
    lines = list(csv.DictReader(pixelcnn("score", colour_model, folder).splitlines()))
    assert [row["file"] for row in actual] == ["in/deep/three.bmp", "in/two.png", "one.png"]
    assert [row["file"] for row in lines] == [row["file"] for row in actual]
    model, variables, _ = load_pretrained(colour_model)
    for row, line in zip(actual, lines, strict=True):
        for column in ("bits_per_dim", "less_png"):
            assert float(line[column]) == pytest.approx(row[column], abs=1e-6)
    for row in actual[1:]:
        image = as_levels(np.asarray(Image.open(folder / row["file"])), levels=4)[None]
        assert row["bits_per_dim"] == pytest.approx(float(bits_per_dim(model, variables, image)[0]), rel=1e-5)
        file = BytesIO()
        Image.fromarray(as_pixels(image[0], levels=4)).save(file, "PNG", optimize=True)
        png = 8 * len(file.getvalue()) / image.size
        assert row["less_png"] == pytest.approx(row["bits_per_dim"] - png, rel=1e-5)


def test_a_file_name_need_not_be_utf8(pixelcnn, colour_model, folder):
    os.rename(folder / "one.png", os.fsencode(folder) + b"/\xe9.png")
    assert "\n\\xe9.png," in pixelcnn("score", colour_model, folder)


def test_likelihoods_that_are_not_finite_are_refused(pixelcnn, folder, tmp_path):
    model = GatedPixelCNN(levels=4, channels=3, features=8, layers=1)
    variables = model.init(jax.random.key(0), np.zeros((1, 8, 8, 3), int))
    save_pretrained(tmp_path, model, jax.tree.map(lambda x: x * 0 + 3e38, variables), image_shape=(8, 8))
    assert "The logits are NaN or infinite" in pixelcnn("score", tmp_path, folder / "one.png", mistake=True)


def test_a_class_conditional_model_needs_a_label(pixelcnn, class_model, tmp_path):
    Image.new("L", (4, 4)).save(tmp_path / "x.png")
    assert "--label" in pixelcnn("score", class_model, tmp_path / "x.png", mistake=True)
    scores = [json.loads(pixelcnn("score", class_model, tmp_path, "--label", k, "--json"))[0] for k in (0, 1)]
    assert scores[0]["bits_per_dim"] != scores[1]["bits_per_dim"]
    assert "above each file, unlike x.png" in pixelcnn("score", class_model, tmp_path, "--label=folder", mistake=True)
    for name in ("in/test/red/x.png", "in/1/0/x.png"):  # the class called 1 is the second one
        (tmp_path / name).parent.mkdir(parents=True)
        shutil.copy(tmp_path / "x.png", tmp_path / name)
    both = json.loads(pixelcnn("score", class_model, tmp_path / "in", "--label=folder", "--json"))
    assert [row["bits_per_dim"] for row in both] == pytest.approx([x["bits_per_dim"] for x in scores[::-1]])


def test_files_without_images_are_refused(pixelcnn, colour_model, tmp_path):
    assert "No images found" in pixelcnn("score", colour_model, tmp_path, mistake=True)
    assert "nowhere cannot be used: No such" in pixelcnn("score", colour_model, tmp_path / "nowhere", mistake=True)
