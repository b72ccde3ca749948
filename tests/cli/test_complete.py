"""``sample --complete``: what is given stays, the rest is drawn."""

import json

import numpy as np
import pytest
from PIL import Image

from pixelcnn_jax.cli.sample import PARTS, given_mask
from pixelcnn_jax.models.inputs import ImageSpec


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
    given = given_mask(hide, 0.5, ImageSpec(6, 5, 3, 4))[..., 0]
    for panel in panels[2:]:
        np.testing.assert_array_equal(panel[given], panels[0][given])
        assert (panel[~given] != panels[0][~given]).any()


@pytest.mark.parametrize("share", [1e-9, 0.999])
@pytest.mark.parametrize("hide", PARTS)
def test_at_least_one_pixel_is_hidden(hide, share):
    assert not given_mask(hide, share, ImageSpec(6, 5, 3, 4)).all()


def test_what_is_no_image_is_refused(pixelcnn, colour_model, tmp_path):
    (tmp_path / "x.txt").write_text("no image")
    line = ["sample", colour_model, "--complete", tmp_path / "x.txt", "-o", tmp_path / "x.png"]
    assert "x.txt" in pixelcnn(*line, mistake=True)
    for share in ("0", "1", "nan"):
        assert "--share must be between 0 and 1" in pixelcnn(*line, "--share", share, mistake=True)
