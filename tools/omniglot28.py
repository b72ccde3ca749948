"""Prepares ``omniglot28``, the data of the few-shot models, as a TFDS data set.

git clone https://github.com/sbos/gmn
python -m tools.omniglot28 gmn/data --data-dir=DIR

Omniglot (Lake et al. 2015) at 28x28, black on white, from the code of Generative Matching Networks (Bartunov and Vetrov
2016; MIT licence): 20 drawings each of 964 characters of 30 alphabets (train) and 659 of 20 (test). To read it:
--config.data.dataset=omniglot28 --config.data.data_dir=DIR.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from pixelcnn_jax import InputError
from pixelcnn_jax.foundation.user_command import UserCommand, path

SPLITS = ("train", "test")


def read_characters(file: Path) -> dict[str, np.ndarray]:
    """Reads drawings [20, 28, 28] by name, "images_background/Alphabet/characterNN"."""
    with np.load(file) as arrays:
        return {name: arrays[name].reshape(-1, 28, 28) for name in sorted(arrays.files)}


def label_of(name: str) -> str:
    return name.partition("/")[2]


class Omniglot28(tfds.core.GeneratorBasedBuilder):  # type: ignore[misc]
    """Omniglot at 28x28."""

    name = "omniglot28"
    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, folder: Path, **options: Any) -> None:
        self.characters = {split: read_characters(folder / f"{split}_small.npz") for split in SPLITS}
        super().__init__(**options)

    def _info(self) -> tfds.core.DatasetInfo:
        labels = [label_of(name) for characters in self.characters.values() for name in characters]
        alphabets = sorted({label.partition("/")[0] for label in labels})
        features = {
            "image": tfds.features.Image(shape=(28, 28, 1)),
            "alphabet": tfds.features.ClassLabel(names=alphabets),
            "label": tfds.features.ClassLabel(names=labels),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {split: self._generate_examples(split) for split in SPLITS}

    def _generate_examples(self, split: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for name, drawings in self.characters[split].items():
            label = label_of(name)
            for i, drawing in enumerate(drawings):  # TFDS orders them by a hash of the key
                image = Image.fromarray(drawing)  # which is written without TensorFlow
                yield f"{name}/{i:02}", {"image": image, "alphabet": label.partition("/")[0], "label": label}


@click.command(cls=UserCommand, help=__doc__)
@click.argument("folder", type=path)
@click.option("--data-dir", help="TFDS data directory. [default: that of TFDS]")
def main(folder: Path, data_dir: str | None) -> None:
    for split in SPLITS:
        if not (folder / f"{split}_small.npz").is_file():
            raise InputError(f"{folder} must hold {split}_small.npz, of the folder data of github.com/sbos/gmn.")
    builder = Omniglot28(folder, data_dir=data_dir, file_format="array_record")
    builder.download_and_prepare()
    print(builder.data_dir)


if __name__ == "__main__":
    main()
