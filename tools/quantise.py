"""Quantises a published model with validation images and scores every split.

python -m tools.quantise NAME [--data-dir=DIR]

Writes NAME_integer next to the published models. Never replace a published integer model: files depend on it.
"""

import shutil

import click

from pixelcnn_jax import InputError, quantise, save_pretrained
from pixelcnn_jax.cli.evaluate import evaluate_split
from pixelcnn_jax.cli.options import load_density
from pixelcnn_jax.data.dataset import read_all
from pixelcnn_jax.data.loading import load
from pixelcnn_jax.foundation.devices import use_all_cores
from pixelcnn_jax.foundation.user_command import UserCommand
from pixelcnn_jax.zoo.pretrained import PUBLISHED

CALIBRATION_IMAGES = 350


@click.command(cls=UserCommand)
@click.argument("name")
@click.option("--data-dir", help="Data directory. [default: that of TFDS]")
def main(name: str, data_dir: str | None) -> None:
    """Quantise a published model."""
    use_all_cores()
    file = PUBLISHED / f"{name}_integer.safetensors"
    if file.exists():
        raise InputError(f"{file.stem} exists and must not change.")
    density = load_density(name)
    data = vars(density.data) | {"data_dir": data_dir}
    images = read_all(load(split=data["validation_split"], **data).subset(CALIBRATION_IMAGES))
    h = density.h(images["label"]) if density.classes else None
    model, variables = quantise(density.model, density.variables, images["image"], h=h)
    integer = density._replace(name=file.stem, model=model, variables=variables)
    scores = {split: evaluate_split(integer, split, data_dir) for split in density.card["scores"]}
    card = density.card | {"scores": scores, "command": f"python -m tools.quantise {name}"}
    save_pretrained(file, model, variables, card)
    training = PUBLISHED / f"{name}.jsonl"
    shutil.copy(training, file.with_suffix(".jsonl"))


if __name__ == "__main__":
    main()
