"""The commands of README, run as printed: a fresh environment, an empty directory, nothing else. ``make test-readme``.

They install from a package index and train for minutes, so they are not part of ``make test``. In place of the name on
the index, the package of this checkout is installed.
"""

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from test_docs import ROOT, python_blocks

README = ROOT / "README.md"
IMAGES = """
import jax, numpy, pathlib
from pixelcnn_jax import load_pretrained, sample
from pixelcnn_jax.data.image_files import as_pixels, write_image
model, variables, card = load_pretrained("digits")
pathlib.Path("FOLDER_OF_IMAGES").mkdir()
for number, image in enumerate(sample(model, variables, jax.random.key(0), shape=(3, 8, 8))):
    write_image(pathlib.Path(f"FOLDER_OF_IMAGES/{number}.png"), as_pixels(image, levels=17))
pathlib.Path("FOLDER_OF_COLOUR_IMAGES").mkdir()
for number, image in enumerate(numpy.random.default_rng(0).integers(0, 256, (3, 8, 9, 3), dtype="uint8")):
    write_image(pathlib.Path(f"FOLDER_OF_COLOUR_IMAGES/{number}.png"), image)
"""


def shell_lines(beginning):
    """The lines of README's shell blocks that begin with a command, without their comments."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", README.read_text(), flags=re.MULTILINE | re.DOTALL)
    lines = [line.partition("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith(beginning)]


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


def test_the_commands_of_a_library_user(tmp_path):
    shell, place = environment(tmp_path / "environment"), tmp_path / "empty"
    place.mkdir()
    for line in shell_lines("pip install"):
        walk(re.sub(r"pixelcnn-jax(\[\w+\])?", lambda match: f"{ROOT}{match[1] or ''}", line), place, shell)
    for number, block in enumerate(python_blocks(README)):
        (place / f"block{number}.py").write_text(block)
        walk(f"python block{number}.py", place, shell)
    (place / "images.py").write_text(IMAGES)
    walk("python images.py", place, shell)
    for line in shell_lines("pixelcnn"):
        walk(line, place, shell)
    assert (place / "threes.png").stat().st_size > 1000
    assert len(list((place / "NEW_FOLDER").iterdir())) == 3


@pytest.fixture
def checkout(tmp_path):
    """A copy of what git tracks, as a clone has it."""
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in files.splitlines():
        target = tmp_path / "pixelcnn-jax" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)
    return tmp_path / "pixelcnn-jax"


def test_the_commands_of_an_experimenter(checkout, tmp_path):
    walk(f"make demo PYTHON={sys.executable}", checkout, kept())
    assert {"samples.png", "report.html", "model.safetensors"} <= {
        one.name for one in Path(checkout / "runs/digits").iterdir()
    }
