"""The command ``quantise``: the integer model of a trained one."""

from pathlib import Path
from typing import Any

import click
import numpy as np

from pixelcnn_jax import codec
from pixelcnn_jax.cli import options
from pixelcnn_jax.cli.pictures import find_images, read_patches
from pixelcnn_jax.pretrained import save_pretrained

IMAGES = 500  # at most


@click.command()
@options.model_argument
@click.argument("files", metavar="FILE_OR_FOLDER...", type=options.path, nargs=-1, required=True)
@options.output_option("Folder of the integer model")
@options.label_option
@options.json_option
def quantise(name: str, files: tuple[Path, ...], output: Path, label: str | None, as_json: bool) -> None:
    """Make the integer model that `compress` and `decompress` need.

    The images should be like those to be compressed, for example training images. At most 500 are used.
    """
    options.check_output(output, folder=True)
    if output.suffix == ".safetensors":
        raise click.ClickException(f"--output must be a folder, got {output.name}.")
    density = options.load_density(name)
    chosen = _some([*find_images(files).items()], IMAGES)
    labels = density.labels_of(label, [image for image, _ in chosen])
    of_each = -(-IMAGES // len(chosen))
    patches = [
        (x.copy(), label)  # a view would keep the whole image
        for (_, file), label in zip(chosen, labels, strict=True)
        for x in _some(read_patches(file, density), of_each)
    ]
    images, given = zip(*_some(patches, IMAGES), strict=True)
    model, variables = codec.quantise(density.model, density.variables, np.stack(images), h=density.h(given))
    save_pretrained(output, model, variables, density.card | {"scores": {}})
    sentence = f"{output}: the integer model of {name}, for compress and decompress"
    options.report({"model": name, "images": len(images), "output": str(output)}, sentence, as_json=as_json)


def _some(items: list[Any], most: int) -> list[Any]:
    return items[:: -(-len(items) // most)]
