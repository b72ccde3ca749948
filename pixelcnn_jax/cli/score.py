"""The command ``score``: bits/dim of image files, minus PNG's."""

import csv
import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np

from pixelcnn_jax.cli import options
from pixelcnn_jax.cli.image_levels import find_images, read_patches
from pixelcnn_jax.data.pictures import png_bits_per_dim
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.likelihood import bits_per_dim
from pixelcnn_jax.models.checks import NOT_FINITE

BATCH = 32


@click.command()
@options.model_argument
@click.argument("files", metavar="FILE_OR_FOLDER...", type=options.path, nargs=-1, required=True)
@options.label_option
@options.json_option
def score(name: str, files: tuple[Path, ...], label: str | None, as_json: bool) -> None:
    """Print the bits/dim of each image as CSV.

    Images are prepared as in training. less_png, the bits/dim less those of the PNG file, is the better anomaly score.
    If the model was trained on patches, counts or declared levels, a larger image is scored by the mean over patches.
    """
    density = options.load_density(name)
    paths = find_images(files)
    names, batch = list(paths), options.at_most(BATCH, density.spec)
    labels = density.labels_of(label, names)
    with options.progress("scoring", len(names)) as on_image:
        patches = ((i, patch) for i, file in enumerate(paths.values()) for patch in read_patches(file, density))
        found: list[list[tuple[float, float]]] = [[] for _ in names]
        while some := [*itertools.islice(patches, batch)]:
            indices, images = zip(*some, strict=True)
            h = density.h([labels[i] for i in indices])
            scores = bits_per_dim(density.model, density.variables, np.stack(images), h=h).tolist()
            for i, image, score in zip(indices, images, scores, strict=True):
                if np.isnan(score):
                    raise InputError(f"{names[i]}: {NOT_FINITE}")
                if not found[i]:
                    on_image(i)
                found[i].append((score, score - png_bits_per_dim(image, levels=density.spec.levels)))
    rows: list[dict[str, Any]] = []
    for name, figures in zip(names, found, strict=True):
        bits, less = np.mean(figures, axis=0).tolist()
        file = os.fsencode(name).decode(errors="backslashreplace")
        rows.append({"file": file, "bits_per_dim": bits, "less_png": less})
    if as_json:
        click.echo(json.dumps(rows))
        return
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(rows[0])
    writer.writerows((file, *(f"{x:.6f}" for x in values)) for file, *values in (row.values() for row in rows))
