"""The training commands that configs and published models print: what each of them reads can be had."""

import html
import importlib
import itertools
import os
import re
import shlex
import signal
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest
import tensorflow_datasets as tfds
import tiny_runs
from test_configs import NAMES
from test_docs import run_blocks, shell_commands
from tfds_sets import prepare
from tiny_runs import ROOT, finished

from pixelcnn_jax.zoo.pretrained import pretrained_names, read_card

# Few images, and a report of as few; a network as small as the printed start allows.
QUICK = "--config.train.steps=5 --config.train.eval_batch_size=8 --config.train.score_train_images=8"
FEW = "--config.data.train_split=train[:20] --config.data.validation_split=train[:8] --config.data.test_split="
FEW_SCENES = FEW.replace("=train[:8]", "=validation[:8]") + "held_out[:8]"
SMALL = "--config.model.features=8 --config.model.layers=1 --config.model.first_kernel_size=3"
CHAINS = {
    "mnist_captions": f"{SMALL} --config.train.report_images=2 --config.train.report_samples=2",
    "mnist_multiscale": f"{SMALL} --config.train.report_samples=2",
    "cifar10_classes": "--config.train.sample_rows=1 --config.train.report_images=2 --config.train.report_samples=10",
}


def commands(text):
    """The training commands of a text, which may wrap, as lists of their options."""
    commands = re.findall(r"python -m experiments\.train((?: '?--\S+)+)", re.sub(r"\s+", " ", text))
    return [[word.strip("',;") for word in options.split()] for options in commands]


def option(command, name):
    return next((word.partition("=")[2] for word in command if word.partition("=")[0].endswith(name)), None)


# The training command, whose scenes are made of few digits, without TensorBoard, whose import takes longer than it.
PROGRAM = """
import runpy, sys
from pixelcnn_jax.data import scenes
scenes.SPLITS |= {"train": ("train[:20]", 100_000), "validation": ("train[20:]", 2_000)}
sys.modules["clu"] = None
runpy.run_module("experiments.train", run_name="__main__")
"""

PRINTED = {name: commands(importlib.import_module(f"configs.{name}").__doc__) for name in NAMES}
# The last is written by tools.grow.
WORKDIRS = {option(command, "--workdir") for chain in PRINTED.values() for command in chain} | {"runs/cifar10_wide"}


@pytest.mark.parametrize("name", [*NAMES, *pretrained_names()])
def test_what_a_command_reads_is_published_or_made_by_a_printed_command(name):
    chain = PRINTED[name] if name in PRINTED else commands(read_card(name)["command"])
    for command in chain:
        path, _, step = option(command, "--config").partition(":")
        config = importlib.import_module(path.removesuffix(".py").replace("/", ".")).get_config(*[step] * bool(step))
        for field in (".start_from", ".classifier", ".embedder"):
            read = option(command, field) or (config.train.start_from if field == ".start_from" else None)
            assert read is None or read in WORKDIRS or read in pretrained_names(), f"{field}={read}"


def noise(count, shape):
    """Images of random ink, and the labels 0 to 9 in turn."""
    random = np.random.default_rng(0)
    images = [PIL.Image.fromarray(random.integers(0, 256, shape).astype(np.uint8).squeeze()) for _ in range(20)]
    return [{"image": images[i % 20], "label": i % 10} for i in range(count)]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    for name, shape, count in (("mnist", (28, 28, 1), 40), ("cifar10", (32, 32, 3), 20)):
        features = {"image": tfds.features.Image(shape=shape), "label": tfds.features.ClassLabel(num_classes=10)}
        prepare(folder, {"train": noise(count, shape), "test": noise(10, shape)}, features, name=name)
    return folder


# A shell in which no environment is activated.
PLAIN = {name: x for name, x in os.environ.items() if name != "PYTHONPATH"} | {"PATH": "/usr/bin:/bin"}


def pasted(line, cwd):
    """Runs a line in a shell, a server until it listens; returns its exit status."""
    own = {"start_new_session": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(line, shell=True, cwd=cwd, env=PLAIN, **own) as shell:
        for error in shell.stderr:
            print(error, end="")
            if "TensorBoard" in error and "http://" in error:
                os.killpg(shell.pid, signal.SIGTERM)
                return 0
        return shell.wait()


@pytest.mark.long
@pytest.mark.parametrize("experiment", ["unconditional", "vae"])
def test_what_a_run_and_its_report_print_works_as_it_is_pasted(experiment, tmp_path):
    workdir = tmp_path / "a run"
    line = tiny_runs.command(workdir, train__steps=2)
    done = finished([f"{word}:{experiment}" if word.endswith("tiny_runs.py") else word for word in line])
    printed = [one.strip() for one in done.splitlines() if one.startswith("  ")]
    page = (workdir / "report.html").read_text().rpartition("<pre>")[2]
    place, *commands = map(html.unescape, re.findall("<code>(.*?)</code>", page))
    assert place == shlex.join(["cd", str(ROOT)])
    assert printed == commands[1:]  # the first is that of the run
    assert len(printed) == (4 if experiment == "unconditional" else 2)
    for one in commands:
        assert pasted(f"{place} && {one}", tmp_path) == 0, one


@pytest.mark.long
@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_of_printed_commands_trains(name, data_dir, tmp_path):
    for command in PRINTED[name]:
        config = option(command, "--config").partition(":")[0]
        changes = "" if "classifier" in config else CHAINS[name] if name in config else SMALL
        settings = [*QUICK.split(), *changes.split(), f"--config.data.data_dir={data_dir}"]
        settings += (FEW_SCENES if "captions" in config else FEW).split()
        run(["-c", PROGRAM, *command, *settings], tmp_path)


@pytest.mark.long
def test_the_commands_of_the_page_on_measurements_lead_from_tiffs_to_information(tmp_path, monkeypatch, capsys):
    (tmp_path / "measured").mkdir()
    for i in range(10):
        counts = np.random.default_rng(i).poisson(30, (40, 50)).astype(np.uint16)
        PIL.Image.fromarray(counts).save(tmp_path / f"measured/{i:02}.tif")
    page, small = ROOT / "docs" / "measurements.md", [*QUICK.split(), *SMALL.split(), "--config.train.sample_rows=1"]
    _, *lines = shell_commands(page)  # the first installs the package
    for program, *words in lines:
        module, options = (["-m", "pixelcnn_jax.cli"], []) if program == "pixelcnn" else ([], small)
        run([*module, *itertools.takewhile(">".__ne__, words), *options], tmp_path)
    monkeypatch.chdir(tmp_path)
    run_blocks(page, mark=" trained")
    assert "images=4" in capsys.readouterr().out


def run(words, cwd):
    """Runs Python in a folder, with the configs of this checkout."""
    words = [word.replace("=configs/", f"={ROOT}/configs/") for word in words]
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "1", "PYTHONPATH": str(ROOT)}
    finished([sys.executable, *words], cwd=cwd, env=environment)
