"""Decodes files of the published integer models in many environments, bit for bit.

python -m tools.portability [--model=digits_integer ...] [--python=.venv-python3.13/bin/python ...]

Samples are compressed in batches of 1, 16 and 256, and also decoded by the tests' NumPy decoder.
"""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import jax
import numpy as np
from safetensors.numpy import load_file

from pixelcnn_jax import InputError, compress, decompress, pretrained_names, sample
from pixelcnn_jax.cli.options import load_density
from pixelcnn_jax.codec.container import unpack
from pixelcnn_jax.foundation.user_command import UserCommand
from pixelcnn_jax.zoo.pretrained import PUBLISHED
from tools.table import ROOT, markdown

GROUPS = (1, 16, 256)
SETTINGS = {  # by what the table calls them
    "as it is": {},
    "AVX2": {"XLA_FLAGS": "--xla_cpu_max_isa=AVX2"},
    "AVX": {"XLA_FLAGS": "--xla_cpu_max_isa=AVX"},
    "SSE4.2": {"XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2"},
    "optimisation level 0": {"XLA_FLAGS": "--xla_backend_optimization_level=0"},
    "fast math": {"XLA_FLAGS": "--xla_cpu_enable_fast_math=true"},
    "1 thread": {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false"},
    "2 devices": {"JAX_NUM_CPU_DEVICES": "2"},
    "8 devices": {"JAX_NUM_CPU_DEVICES": "8"},
}


def digest(images: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(images, "<u2").tobytes()).hexdigest()


def labels(count: int, classes: int) -> np.ndarray | None:
    """Cycles through one-hot labels; None for a model of p(x)."""
    return np.eye(classes, dtype=np.float32)[np.arange(count) % classes] if classes else None


def write_files(folder: Path, names: tuple[str, ...], count: int) -> dict[str, str]:
    """Writes the files of all models; returns digests of the images."""
    expected = {}
    for name in names:
        density = load_density(name)
        h = labels(count, density.classes)
        shape = (count, *density.spec.shape[:2])
        images = np.asarray(sample(density.model, density.variables, jax.random.key(0), shape=shape, h=h))
        for size in GROUPS:
            data = compress(density.model, density.variables, images, h=h, batch_size=size, verify=False)
            (folder / f"{name}.{size}").write_bytes(data)
            expected[f"{name}.{size}"] = digest(images)
    return expected


def read_files(folder: Path) -> dict[str, str]:
    """Decodes the files of a folder; returns digests of the images."""
    digests = {}
    for file in sorted(folder.iterdir()):
        density = load_density(file.stem)
        data = file.read_bytes()
        count = unpack(data).shape[0]
        digests[file.name] = digest(
            decompress(density.model, density.variables, data, h=labels(count, density.classes))
        )
    return digests


def read_in_numpy(folder: Path) -> dict[str, str]:
    """Decodes the files in batches of 16 without JAX."""
    sys.path.insert(0, str(ROOT / "tests" / "codec"))
    from reference_decoder import decode, read_file

    digests = {}
    for file in folder.glob("*.16"):
        weights = PUBLISHED / f"{file.stem}.safetensors"
        count = read_file(file.read_bytes())[0][0]
        density = load_density(file.stem)
        h, components = labels(count, density.classes), density.model.mixture
        digests[file.name] = digest(decode(load_file(weights), file.read_bytes(), h, components=components))
    return digests


def read_elsewhere(folder: Path, python: str, settings: dict[str, str]) -> tuple[str, dict[str, str]]:
    """Decodes in a subprocess; returns its versions and digests."""
    done = subprocess.run(
        [python, "-m", "tools.portability", f"--decode={folder}"],
        cwd=ROOT,
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise InputError(f"{python} with {settings} failed: {done.stderr.strip().splitlines()[-1]}")
    versions, digests = json.loads(done.stdout)
    return versions, digests


@click.command(cls=UserCommand)
@click.option("--model", "names", multiple=True, help="An integer model, several times; all if not given.")
@click.option("--python", "pythons", multiple=True, help="One more interpreter; may be repeated.")
@click.option("--count", type=click.IntRange(min=1), default=20, show_default=True, help="Images of each file.")
@click.option("--decode", type=Path, hidden=True)
def main(names: tuple[str, ...], pythons: tuple[str, ...], count: int, decode: Path | None) -> None:
    """Decode files of the integer models in many environments."""
    versions = f"{sys.version_info.major}.{sys.version_info.minor}, jax {jax.__version__}"
    if decode is not None:
        click.echo(json.dumps([versions, read_files(decode)]))
        return
    names = names or tuple(name for name in pretrained_names() if name.endswith("_integer"))
    rows = []
    with TemporaryDirectory() as folder:
        expected = write_files(Path(folder), names, count)
        places = [(sys.executable, setting) for setting in SETTINGS] + [(python, "as it is") for python in pythons]
        results = [(setting, *read_elsewhere(Path(folder), python, SETTINGS[setting])) for python, setting in places]
        results.append(("NumPy integers, no JAX", versions.partition(",")[0], read_in_numpy(Path(folder))))
    for setting, where, digests in results:
        if wrong := [file for file, pixels in digests.items() if pixels != expected[file]]:
            raise InputError(f"{setting}: {', '.join(wrong)} decoded to other pixels.")
        rows.append({"compiled for": setting, "Python": where, "files equal": f"{len(digests)} of {len(digests)}"})
    click.echo(markdown(rows))


if __name__ == "__main__":
    main()
