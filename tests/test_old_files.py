"""Files of commit 1165a4b: the workdir of a run that was stopped at step 4 of 8, with its command, and an export."""

import json
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
from tiny_runs import finished, records

from pixelcnn_jax import load_pretrained, log_prob

OLD = Path(__file__).parent / "old"


def pattern(side, levels):
    return (np.arange(side**2) * 7 // 3 % levels).reshape(1, side, side, 1)


def test_an_old_workdir_is_a_model():
    model, variables, card = load_pretrained(OLD / "workdir")
    np.testing.assert_allclose(-log_prob(model, variables, pattern(8, 17)), [195.67206], rtol=1e-5)
    assert card["scores"]["validation"]["bits_per_dim"] == 4.250750251596159


def test_an_old_export_is_loaded():
    networks, variables, _ = load_pretrained(OLD / "export.safetensors")
    h = networks["encoder"].apply(variables["encoder"], pattern(4, 3))
    nats = -log_prob(networks["decoder"], variables["decoder"], pattern(4, 3), h=h)
    np.testing.assert_allclose(nats, [17.280125], rtol=1e-5)


def test_an_old_command_resumes_its_run(tmp_path):
    shutil.copytree(OLD / "workdir", tmp_path / "run")
    words = shlex.split(json.loads((tmp_path / "run/config.json").read_text())["command"])
    fields = [word for word in words[3:] if not word.startswith("--workdir")]
    output = finished([sys.executable, *words[1:3], *fields, f"--workdir={tmp_path / 'run'}"])
    assert "from step 4 to 8" in output
    assert {record["step"] for record in records(tmp_path / "run")} == {2, 4, 6, 8}
    assert json.loads((tmp_path / "run/result.json").read_text())["scores"]["test"]["images"] == 20
