"""The package's types hold in a user's strict file."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import pixelcnn_jax

CACHE = "--cache-dir=.mypy_cache/strict"  # other options, so that the cache of `make types` stays valid
FILE = Path(__file__).parent / "typed_user.py"


def strict(file):
    line = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--config-file=", CACHE, str(file)]
    return subprocess.run(line, cwd=FILE.parents[1], capture_output=True, text=True, timeout=600)


@pytest.mark.long
def test_strict_types_hold_for_every_public_name(tmp_path):
    done = strict(FILE)
    assert done.returncode == 0, done.stdout
    wrong = tmp_path / "wrong.py"  # mypy sees the package's types: they can be violated
    wrong.write_text("from pixelcnn_jax import log_prob\nx: str = log_prob(1, 2, 3)\n")
    assert strict(wrong).returncode == 1


def test_the_user_s_file_uses_every_public_name():
    assert [name for name in pixelcnn_jax.__all__ if not re.search(rf"\bpj\.{name}\b", FILE.read_text())] == []
    assert {*pixelcnn_jax.__all__} <= {*dir(pixelcnn_jax)}
