"""The command ``quantise``: the integer model of a trained one."""

from pathlib import Path

import click
import numpy as np

from pixelcnn_jax import codec
from pixelcnn_jax.cli import options
from pixelcnn_jax.cli.image_levels import find_images, read_patches
from pixelcnn_jax.zoo.pretrained import save_pretrained

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
    every = [*find_images(files).items()]
    chosen = every[:: -(-len(every) // IMAGES)]
    labels = density.labels_of(label, [image for image, _ in chosen])
    patches = []
    for number, (_, file) in enumerate(chosen):
        found = read_patches(file, density)
        step = -(-len(found) // (IMAGES // len(chosen)))
        patches += [(x.copy(), labels[number]) for x in found[number % step :: step]]  # a view would keep the image
    images, given = zip(*patches, strict=True)
    model, variables = codec.quantise(density.model, density.variables, np.stack(images), h=density.h(given))
    save_pretrained(output, model, variables, density.card | {"scores": {}})
    sentence = f"{output}: the integer model of {name}, for compress and decompress"
    options.report({"model": name, "images": len(images), "output": str(output)}, sentence, as_json=as_json)
