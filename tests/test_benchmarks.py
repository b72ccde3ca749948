"""The results tables are those of the cards, figures that differ are named, and every benchmark runs."""

import json
import math
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_runs
from click.testing import CliRunner
from tiny_runs import ROOT

from benchmarks import few_shot, peers, speedrun
from pixelcnn_jax import GatedPixelCNN, InputError, pretrained_names
from pixelcnn_jax.data.dataset import read_all
from pixelcnn_jax.data.loading import load
from pixelcnn_jax.foundation.files import atomic_write
from pixelcnn_jax.models.conditioning.conditional_model import ConditionalModel
from pixelcnn_jax.models.conditioning.set_encoder import SetEncoder
from pixelcnn_jax.models.inputs import ImageSpec
from pixelcnn_jax.training.metrics import read_records
from pixelcnn_jax.zoo.pretrained import PUBLISHED, read_card, save_pretrained
from tools import omniglot28, table
from tools.grow import grow


def run(command, *arguments, mistake=None):
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    assert result.exit_code == (0 if mistake is None else 1), (result.output, result.exception)
    if mistake is not None:
        assert mistake in result.stderr
        assert len(result.stderr.splitlines()) == 1
    return result


def test_the_pages_hold_the_tables_of_the_cards():
    text = (table.ROOT / "README.md").read_text()
    assert table.replace_table(text, table.short_table()) == text


@pytest.fixture
def pages(monkeypatch, tmp_path):
    """A page of the test's own, with another table in it, and one published model."""
    monkeypatch.setattr(table, "ROOT", tmp_path)
    monkeypatch.setattr(table, "pretrained_names", lambda: ["digits"])
    atomic_write(tmp_path / "README.md", f"before\n{table.BEGIN}| old |\n{table.END}after\n")
    return tmp_path


def test_every_figure_is_derived_and_the_tables_are_written(pages, monkeypatch):
    density = table.load_density("digits")
    del density.card["scores"]["train"]  # a thousand images
    monkeypatch.setattr(table, "load_density", lambda name, **_: density)
    result = CliRunner().invoke(table.main, [])
    assert result.exit_code == 1
    assert "a different table" in result.stderr
    assert result.stderr.count("as printed") == 2
    run(table.main, "--write")
    text = (pages / "README.md").read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "1.764 bits/dim" in text
    run(table.main)
    atomic_write(pages / "README.md", "no marks")
    assert "marks" in CliRunner().invoke(table.main, ["--write"]).stderr


def test_a_figure_that_differs_is_an_error_and_missing_data_is_named(pages, monkeypatch, tmp_path):
    printed = read_card("digits")["scores"]
    monkeypatch.setattr(table, "evaluate_split", lambda density, split, _: printed[split] | {"nats": 1.0})
    result = CliRunner().invoke(table.main, ["--write"])
    assert result.exit_code == 1
    assert "digits, train" in result.stderr
    assert "| old |" in (pages / "README.md").read_text()

    def missing(density, split, data_dir):
        raise InputError("no data")

    monkeypatch.setattr(table, "evaluate_split", missing)
    assert "digits is not derived again: no data" in run(table.main, "--write").stderr


def test_scores_are_compared_to_the_last_digit():
    printed = {"images": 7, "nats": 80.123, "bits_per_dim": 1.80611}
    table.compare("mine, test", printed | {"nats": 80.1231}, printed)
    for other in ({"images": 6}, {"nats": 80.128}, {"nats": math.nan}, {"bits_per_dim": 1.80621}):
        with pytest.raises(InputError, match="mine, test"):
            table.compare("mine, test", printed | other, printed)
    large = printed | {"nats": 7861.6445}  # a float32 holds about seven digits
    table.compare("mine, test", large | {"nats": 7861.6435}, large)
    with pytest.raises(InputError, match="nats must be"):
        table.compare("mine, test", large | {"nats": 7861.66}, large)


@pytest.mark.parametrize("name", pretrained_names())
def test_published_models_have_their_log(name):
    assert any("validation_bits_per_dim" in record for record in read_records(PUBLISHED / f"{name}.jsonl"))


def drawing(*ink):
    image = np.zeros((8, 8, 1), int)
    image[tuple(np.transpose(ink))] = 1
    return image


def test_the_hausdorff_distance_is_that_of_ink_from_ink():
    drawings = np.stack([drawing((0, 0)), drawing((3, 4)), drawing((0, 0), (0, 6)), np.zeros((8, 8, 1), int)])
    actual = few_shot.hausdorff(drawings, drawings)
    np.testing.assert_allclose(actual[0], [0, 5, 3, 8])  # of two pixels of ink, one 6 away: 3
    np.testing.assert_array_equal(actual, actual.T)


def test_drawings_are_recognised_by_the_nearest_reference_and_copies_are_not_diverse():
    random = np.random.default_rng(0)
    characters = (random.random((5, 1, 8, 8, 1)) < 0.2).repeat(4, axis=1).astype(int)
    assert few_shot.recognised(characters, characters[:, :3]) == 1
    assert few_shot.recognised(np.roll(characters, 1, axis=0), characters[:, :3]) == 0
    assert few_shot.recognised(0 * characters, characters[:, :3]) == 0
    assert few_shot.diversity(characters) == 0
    characters[:, 0] = 1 - characters[:, 0]  # half of the six pairs of a character then differ in every pixel
    assert few_shot.diversity(characters) == 32


def test_samples_are_compared_with_real_drawings(tmp_path, monkeypatch):
    model = ConditionalModel(GatedPixelCNN(levels=2, features=8, layers=1), SetEncoder((8, 8, 3), 2, 2, (4, 6), 2))
    image = jnp.zeros((1, 8, 8, 1), jnp.int32)
    data = {"dataset": "digits", "labels": True, "binarize": "threshold", "max_examples": 2}
    card = {"image_spec": ImageSpec(8, 8, 1, 2), "density": "p(x|examples)", "config": {"data": data}}
    save_pretrained(tmp_path, model, model.init(jax.random.key(0), image, image[None]), card)
    monkeypatch.setattr(few_shot, "WAYS", 4)
    asked = (tmp_path, "--groups", 2, "--count", 3, "--temperature", 0.5)
    actual = json.loads(run(few_shot.main, *asked).stdout.splitlines()[-1])
    assert actual["real"]["diversity"] == 1
    assert actual["real"]["blank"] == 0
    assert actual["real"]["recognised"] > 0.6  # chance is 0.25
    assert 0 <= actual["T = 0.5"]["recognised"] <= 1
    run(few_shot.main, tmp_path, mistake="20 characters of 20 drawings")
    run(few_shot.main, "digits", mistake="p(x|examples)")


def test_omniglot_is_prepared_from_published_arrays(tmp_path):
    drawings = np.random.default_rng(0).integers(0, 2, (3, 28 * 28)).astype(np.uint8) * 255
    for split, folder, alphabet in (("train", "images_background", "Greek"), ("test", "images_evaluation", "Avesta")):
        names = [f"{folder}/{alphabet}/character{number:02}" for number in (2, 1)]
        np.savez(tmp_path / f"{split}_small.npz", **{name: drawings // (1 + i) for i, name in enumerate(names)})
    run(omniglot28.main, tmp_path, f"--data-dir={tmp_path / 'tfds'}")
    dataset = load("omniglot28", "train where alphabet is Greek", data_dir=tmp_path / "tfds", labels=True)
    actual = read_all(dataset)
    assert (dataset.spec.shape, dataset.spec.classes, len(dataset)) == ((28, 28, 1), 4, 6)
    for label, expected in ((0, drawings // 2), (1, drawings)):
        images = actual["image"][actual["label"] == label].reshape(3, -1)
        assert {image.tobytes() for image in images.astype(np.uint8)} == {image.tobytes() for image in expected}
    run(omniglot28.main, tmp_path / "tfds", mistake="train_small.npz")


TINY = GatedPixelCNN(levels=4, features=4, layers=1)
BASE = {"layers": 1, "features": 4, "size": 8, "batch": 2}
# The arguments of each program of benchmarks/, and what it is made smaller by. Those without are run by other tests.
QUICK = {"train.steps": 2, "train.batch_size": 8, "train.checkpoint_every": 2, "model.layers": 1, "model.features": 8}
TRACKS = {"digits": speedrun.Track(1, "nats", "configs/digits.py", QUICK)}
DIGITS = {"CONFIG": "configs/digits.py", "BASE": speedrun.SAME | QUICK, "VARIANTS": {"base": {}, "4 layers": {}}}
PROGRAMS = {
    "accelerator": (["--quick"], {}),
    "anomaly": (["--count=4"], {"PAIRS": (("digits", "noise", {"drawn": (8, 8, 1)}),)}),
    "coding_speed": (["--model=digits", "--counts=1", "--many=32", "--rounds=1"], {}),
    "compression": (["--model=digits", "--images=4"], {}),
    "counts": (["--size=9x9", "--tile=5", "--steps=2"], {"PATCH": 8}),
    "few_shot": None,
    "first_step": (["--runs=1", "--config=tests/tiny_runs.py"], {}),
    "growth": (["--rounds=1"], {"BASE": BASE, "VARIED": {"batch": (2, 4)}}),
    "guidance": (["{model}", "--classifier={classifier}", "--count=2"], {}),
    "information": (["--steps=1"], {"PHOTONS": (10,), "TRAINED": 40, "TESTED": 4}),
    "input": (["--blocks=1", "--steps=1"], {}),
    "ising": ([], {"LAYERS": {4: 1}}),
    "netket_energy": (["gated", "--length=2", "--seeds=1", "--steps=1", "--samples=16"], {}),
    "peers": None,
    "sampling": (["--batch=1"], {"R": TINY}),
    "speedrun": (["digits", "--seeds=2"], {"TRACKS": TRACKS}),
    "study": (["--images=32"], DIGITS),
    "tpu": None,
    "train_step": (["--microbatch-size=32", "--rounds=1"], {"SPEC": ImageSpec(8, 8, 1, 256)}),
}


def test_every_program_is_run_by_a_test():
    files = (ROOT / "benchmarks").glob("*.py")
    assert {file.stem for file in files if "__main__" in file.read_text()} == PROGRAMS.keys()


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
@pytest.mark.parametrize("name", [name for name, small in PROGRAMS.items() if small])
def test_a_program_runs(name, monkeypatch, tmp_path):
    module = pytest.importorskip(f"benchmarks.{name}", exc_type=ModuleNotFoundError)
    arguments, changes = PROGRAMS[name]
    for attribute, value in changes.items():
        monkeypatch.setattr(module, attribute, value)
    if name == "guidance":
        trained = {"class_conditional__drop_condition": 0.1, "train__report_images": 0}
        tiny_runs.run(tmp_path / "model", experiment="class_conditional", data__labels=True, **trained)
        tiny_runs.run(tmp_path / "classifier", experiment="classifier", data__labels=True)
    words = [word.format(model=tmp_path / "model", classifier=tmp_path / "classifier") for word in arguments]
    assert json.loads(run(module.main, *words).stdout.splitlines()[-1])


@pytest.mark.long
def test_digits_compile_for_a_tpu_and_fit():
    """In a process of its own: the compiler keeps its machine's name, and may be loaded once."""
    pytest.importorskip("libtpu")
    line = [sys.executable, "-m", "benchmarks.tpu", "--quick", "--topology=v5e:2x2"]
    done = tiny_runs.finished(line, env=os.environ | {"JAX_PLATFORMS": "cpu"})
    (row,) = json.loads(done.splitlines()[-1])["rows"]
    assert row["fits"]
    assert 0 < row["all_reduces"] <= 2  # none in the loop over the layers


def test_a_row_of_the_peers_that_dies_does_not_lose_the_others(monkeypatch):
    def row(command, **_):
        dies = "compiled" in command[3]
        return subprocess.CompletedProcess(command, int(dies), '{"train 8": 2, "product": 3}', "Killed" * dies)

    monkeypatch.setattr(subprocess, "run", row)
    monkeypatch.setattr(peers, "check_logits", lambda: None)
    monkeypatch.setattr(peers, "has_bfloat16", lambda: False)
    result = run(peers.main, "--rounds=1")
    rows = json.loads(result.stdout.splitlines()[-1])["rows"]
    assert [*rows] == ["pixelcnn-jax, float32", "PyTorch, float32", "pixelcnn-jax, bfloat16"]
    assert result.stderr.count("skipped") == 2
    assert "PyTorch compiled, float32: " in result.stderr


@pytest.mark.parametrize("larger", [{"features": 11, "head_features": 9}, {"layers": 3}])
def test_a_network_that_is_grown_computes_the_same_logits(larger):
    model = GatedPixelCNN(levels=4, channels=3, features=7, layers=2)
    images = jax.random.randint(jax.random.key(0), (2, 5, 6, 3), 0, 4)
    h = jax.nn.one_hot(jnp.arange(2), 2)
    variables = model.init(jax.random.key(1), images, h)
    grown, new = grow(model, variables, jax.random.key(2), **larger)
    np.testing.assert_allclose(grown.apply(new, images, h), model.apply(variables, images, h), rtol=1e-5, atol=1e-6)
