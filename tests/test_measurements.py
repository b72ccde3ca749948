"""The page on measurements: its commands lead from a folder of TIFFs to the information in them, and to an archive."""

from itertools import takewhile

import numpy as np
import pytest
from PIL import Image
from test_commands import QUICK, SMALL, run
from test_docs import ROOT, run_blocks, shell_commands

PAGE = ROOT / "docs" / "measurements.md"


@pytest.mark.long
def test_the_commands_of_the_page_lead_from_tiffs_to_information(tmp_path, monkeypatch, capsys):
    (tmp_path / "measured").mkdir()
    for i in range(10):
        counts = np.random.default_rng(i).poisson(30, (40, 50)).astype(np.uint16)
        Image.fromarray(counts).save(tmp_path / f"measured/{i:02}.tif")
    changes = [*QUICK.split(), *SMALL.split(), "--config.train.sample_rows=1"]

    def typed(program, *words):
        module = ["-m", "pixelcnn_jax.cli"] if program == "pixelcnn" else []
        options = changes if "experiments.train" in words else []
        run([*module, *takewhile(">".__ne__, words), *options], tmp_path)

    install, *before, compress, decompress = shell_commands(PAGE)
    assert install[0] == "pip"
    for line in before:
        typed(*line)
    monkeypatch.chdir(tmp_path)
    run_blocks(PAGE, mark=" trained")
    assert "images=4" in capsys.readouterr().out
    typed(*compress)
    typed(*decompress)
    for file in (tmp_path / "measured").iterdir():
        restored = Image.open(tmp_path / "restored" / f"{file.stem}.png")
        np.testing.assert_array_equal(np.asarray(restored), np.asarray(Image.open(file)))
