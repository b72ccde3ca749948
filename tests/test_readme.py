"""The commands of README, in fresh environments, with a package index and nothing else."""

import os
import re
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from test_docs import ROOT, python_blocks

from tools.planted_bugs import copy_checkout

README = ROOT / "README.md"
pytestmark = pytest.mark.long


def kept():
    """The environment variables of a new shell, with those that say where pip finds packages."""
    names = ("HOME", "LANG", "SSL_CERT_FILE", "TERM", "PATH")
    return {name: value for name, value in os.environ.items() if name in names or name.startswith("PIP_")}


def environment(folder):
    """The environment of a shell in which a new virtual environment is active, and nothing of this process is set."""
    venv.create(folder, with_pip=True)
    return kept() | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "VIRTUAL_ENV": str(folder)}


def walk(line, place, shell):
    done = subprocess.run(line, shell=True, cwd=place, env=shell, capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.fixture
def checkout(tmp_path):
    """A copy of what git tracks, as a clone has it."""
    copy_checkout(tmp_path / "pixelcnn-jax")
    return tmp_path / "pixelcnn-jax"


def test_the_commands_of_an_experimenter(checkout, tmp_path):
    few = "ARGS='--config.train.steps=20 --config.train.eval_every=10'"  # of 1,800: what they reach is in the results
    walk(f"make demo PYTHON={sys.executable} {few}", checkout, kept())
    assert {"samples.png", "report.html", "model.safetensors"} <= {
        one.name for one in Path(checkout / "runs/digits").iterdir()
    }


def test_the_example_prints_what_is_printed(checkout, tmp_path):
    shell, place = environment(tmp_path / "environment"), tmp_path / "empty"
    place.mkdir()
    assert "`pip install .`" in " ".join(README.read_text().split())
    walk("pip install .", checkout, shell)
    block = "".join(python_blocks(README))
    (place / "block.py").write_text(block)
    printed = re.findall(r"^print.*  # (.*)$", block, flags=re.MULTILINE)
    assert walk("python block.py", place, shell).splitlines() == printed
    assert "mnist_classes" in walk("pixelcnn models", place, shell)
