"""The verb ``score``: bits/dim of image files."""

import csv
import json
import sys
from pathlib import Path

import click
import numpy as np

from pixelcnn_jax.cli import options
from pixelcnn_jax.cli.pictures import find_images, read_fitted
from pixelcnn_jax.likelihood import bits_per_dim

BATCH = 32


@click.command()
@options.model_argument
@click.argument("files", metavar="FILE_OR_FOLDER...", type=options.FILE, nargs=-1, required=True)
@options.label_option
@options.json_option
def score(name: str, files: tuple[Path, ...], label: int | None, as_json: bool) -> None:
    """Print the bits/dim of each image as CSV: the fewer, the likelier the image.

    Images are cropped and resized as the training images were.
    """
    density = options.load_density(name)
    density.h_of(label, 1)
    found = find_images(files)
    scores: list[float] = []
    names = list(found)
    with options.progress("scoring", len(names)) as on_image:
        for start in range(0, len(names), BATCH):
            images = np.stack([read_fitted(found[one], density) for one in names[start : start + BATCH]])
            h = density.h_of(label, len(images))
            scores += bits_per_dim(density.model, density.variables, images, h=h).tolist()
            for index in range(len(images)):
                on_image(index)
    if as_json:
        click.echo(json.dumps([{"file": one, "bits_per_dim": x} for one, x in zip(names, scores, strict=True)]))
        return
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(["file", "bits_per_dim"])
    writer.writerows((one, f"{x:.6f}") for one, x in zip(names, scores, strict=True))
