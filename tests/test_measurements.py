"""The page on measurements: its commands lead from a folder of TIFFs to the information in them."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from test_commands import QUICK, SMALL
from test_docs import ROOT, run_blocks, shell_commands

PAGE = ROOT / "docs" / "measurements.md"


@pytest.mark.long
def test_the_commands_of_the_page_lead_from_tiffs_to_information(tmp_path, monkeypatch, capsys):
    (tmp_path / "measured").mkdir()
    for i in range(10):
        counts = np.random.default_rng(i).poisson(30, (40, 50)).astype(np.uint16)
        Image.fromarray(counts).save(tmp_path / f"measured/{i:02}.tif")
    changes = [*QUICK.split(), *SMALL.split(), "--config.train.sample_rows=1"]
    for program, *words in shell_commands(PAGE):
        if program == "pip":
            continue
        module = ["-m", "pixelcnn_jax.cli"] if program == "pixelcnn" else []
        if "experiments.train" in words:
            words = [word.replace("=configs/", f"={ROOT}/configs/") for word in (*words, *changes)]
        words = words[: words.index(">")] if ">" in words else words
        environment = os.environ | {"JAX_NUM_CPU_DEVICES": "1", "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, *module, *words], cwd=tmp_path, env=environment, capture_output=True)
        assert done.returncode == 0, done.stderr[-2000:]
    monkeypatch.chdir(tmp_path)
    run_blocks(PAGE, mark=" trained")
    assert "images=4" in capsys.readouterr().out
