"""``sample --complete``: what is given stays, the rest is drawn."""

import json

import numpy as np
import pytest
from PIL import Image

from pixelcnn_jax.cli.sample import PARTS, given_mask


@pytest.mark.parametrize("hide", PARTS)
def test_completions_keep_what_is_given(pixelcnn, colour_model, tmp_path, hide):
    Image.new("RGB", (40, 30), (255, 0, 85)).save(tmp_path / "image.png")
    line = ["sample", colour_model, "--complete", tmp_path / "image.png", "-o", tmp_path / "x.png", "--hide", hide]
    summary = json.loads(pixelcnn(*line, "--count", 3, "--json"))
    assert summary["images"] == 3
    assert summary["exact"] == (hide == "bottom")
    pixels = np.asarray(Image.open(tmp_path / "x.png"))
    scale = len(pixels) // 8
    shown = pixels[scale // 2 :: scale, scale // 2 :: scale]
    panels = [shown[1:7, 1 + 6 * i : 6 + 6 * i] for i in range(5)]
    assert (panels[0] == (255, 0, 85)).all()
    given = given_mask(hide, 0.5, (6, 5))[..., 0]
    for panel in panels[2:]:
        np.testing.assert_array_equal(panel[given], panels[0][given])
        assert (panel[~given] != panels[0][~given]).any()


@pytest.mark.parametrize(("scan", "hide", "exact"), [("columns", "right", True), ("backwards", "bottom", False)])
def test_pictures_are_upright_in_any_scan(pixelcnn, saved, tmp_path, scan, hide, exact):
    spec = (6, 5, 3, 4) if scan == "backwards" else (5, 6, 3, 4)  # as scanned: files are 5 pixels wide, 6 high
    model = saved(*spec, config={"data": {"scan": scan}})
    image = Image.new("RGB", (5, 6), (255, 0, 85))
    image.paste((0, 170, 0), (0, 0, 2, 2))  # the upper left corner
    image.save(tmp_path / "image.png")
    line = ["sample", model, "--complete", tmp_path / "image.png", "-o", tmp_path / "x.png", "--hide", hide]
    assert json.loads(pixelcnn(*line, "--count", 1, "--json"))["exact"] == exact
    pixels = np.asarray(Image.open(tmp_path / "x.png"))
    scale = len(pixels) // 8
    shown = pixels[scale // 2 :: scale, scale // 2 :: scale]
    np.testing.assert_array_equal(shown[1:7, 1:6], image)
    observed = given_mask(hide, 0.5, (6, 5))[..., 0]
    np.testing.assert_array_equal(shown[1:7, 13:18][observed], np.asarray(image)[observed])


@pytest.mark.parametrize("share", [1e-9, 0.999])
@pytest.mark.parametrize("hide", PARTS)
def test_at_least_one_pixel_is_hidden(hide, share):
    assert not given_mask(hide, share, (6, 5)).all()


def test_what_is_no_image_is_refused(pixelcnn, colour_model, tmp_path):
    (tmp_path / "x.txt").write_text("no image")
    line = ["sample", colour_model, "--complete", tmp_path / "x.txt", "-o", tmp_path / "x.png"]
    assert "x.txt" in pixelcnn(*line, mistake=True)
    for share in ("0", "1", "nan"):
        assert "--share must be between 0 and 1" in pixelcnn(*line, "--share", share, mistake=True)
