"""The command as a whole: its verbs, its table of models, how it is started, what it says to mistakes."""

import json
import math
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from click.testing import CliRunner

from pixelcnn_jax import pretrained_names
from pixelcnn_jax.cli import options
from pixelcnn_jax.cli.command import main
from pixelcnn_jax.foundation.user_command import UserCommand
from pixelcnn_jax.models.conditioning.encoders import Encoder
from pixelcnn_jax.zoo.pretrained import load_pretrained, save_pretrained


def test_help_lists_the_verbs(pixelcnn):
    lines = [line for line in pixelcnn("--help").splitlines() if line.startswith("  ") and line.strip()]
    assert not [line for line in lines if line.endswith("...")]
    assert {line.split()[0] for line in lines} >= {*main.commands}
    for verb in main.commands:
        assert "Usage:" in pixelcnn(verb, "-h")


def test_models_are_listed_for_people_and_machines(pixelcnn):
    lines = pixelcnn("models").splitlines()
    assert [line.split()[0] for line in lines] == ["model", *pretrained_names()]
    assert max(map(len, lines)) <= 120
    actual = {row["model"]: row for row in json.loads(pixelcnn("models", "--json"))}
    assert actual["digits"]["bits/dim"] == 1.7642
    assert actual["digits"]["parameters"] == 183409


def test_starting_as_a_module_needs_no_extra_and_no_terminal():
    """Only what the library itself needs, click and Pillow are imported, unless the verb needs more."""
    code = (
        "import sys; sys.argv = ['pixelcnn', 'models']; import runpy\n"
        "try: runpy.run_module('pixelcnn_jax.cli', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "heavy = ('ml_collections', 'orbax', 'sklearn', 'tensorflow', 'tensorflow_datasets', 'matplotlib', 'jinja2')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert done.stderr == ""


@pytest.mark.parametrize("verb", ["sample", "score", "compress", "decompress", "evaluate"])
@pytest.mark.parametrize("model", ["nothing", "a folder"])
def test_a_model_that_is_not_there_is_one_sentence(pixelcnn, verb, model, tmp_path):
    (tmp_path / "a folder").mkdir()
    name = tmp_path / model if model == "a folder" else model
    files = {"sample": [], "evaluate": []}.get(verb, [tmp_path / "x.png"])
    output = [] if verb in ("score", "evaluate") else ["-o", tmp_path / ("out.png" if verb != "decompress" else "out")]
    assert model in pixelcnn(verb, name, *files, *output, mistake=True)
    assert [path.name for path in tmp_path.iterdir()] == ["a folder"]


def test_a_model_of_several_networks_or_another_condition_is_one_sentence(pixelcnn, tmp_path, colour_model):
    model, variables, card = load_pretrained(colour_model)
    encoder = Encoder(outputs=5, levels=4, features=(4,))
    images = jax.numpy.zeros((1, 6, 5, 3), int)
    several = {"decoder": variables, "encoder": encoder.init(jax.random.key(0), images)}
    card = {"image_spec": card["image_spec"], "experiment": "autoencoder", "density": "p(x|h)"}
    save_pretrained(tmp_path / "several.safetensors", {"decoder": model, "encoder": encoder}, several, card)
    save_pretrained(tmp_path / "h.safetensors", model, variables, card)
    for name in ("several", "h"):
        sentence = pixelcnn("sample", tmp_path / f"{name}.safetensors", "-o", tmp_path / "x.png", mistake=True)
        assert "autoencoder" in sentence


@pytest.mark.parametrize("output", ["file/x.png", "there.png", "x.jpg", 300 * "x" + ".png"])
def test_an_output_that_cannot_be_written_is_found_before_any_work(pixelcnn, tmp_path, output):
    (tmp_path / "file").write_text("")
    (tmp_path / "there.png").write_text("")
    pixelcnn("sample", "no model, which is found later", "-o", tmp_path / output, mistake=True)
    assert (tmp_path / "there.png").read_text() == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "there.png"]


@pytest.mark.parametrize("error", [MemoryError(), jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")])
def test_a_lack_of_memory_is_one_sentence(error):
    def fail():
        raise error

    result = CliRunner().invoke(UserCommand("work", callback=fail))
    assert (result.exit_code, len(result.output.splitlines())) == (1, 1)
    assert "Out of memory" in result.output


def test_progress_is_told_in_a_pipe_once_it_takes_long(monkeypatch, capsys):
    told = []
    for seconds in (math.inf, 0):
        monkeypatch.setattr(options, "SECONDS", seconds)
        with options.progress("sampling", 3) as on_row:
            for row in range(3):
                on_row(row)
        told.append("3/3" in capsys.readouterr().err)
    assert told == [False, True]
