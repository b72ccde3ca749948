"""The verb ``score``: bits/dim of image files, minus PNG's."""

import csv
import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np

from pixelcnn_jax.cli import options
from pixelcnn_jax.cli.pictures import find_images, read_fitted
from pixelcnn_jax.data.image_files import png_bits_per_dim
from pixelcnn_jax.foundation.errors import NOT_FINITE, InputError
from pixelcnn_jax.likelihood import bits_per_dim

BATCH = 32


@click.command()
@options.model_argument
@click.argument("files", metavar="FILE_OR_FOLDER...", type=options.path, nargs=-1, required=True)
@options.label_option
@options.json_option
def score(name: str, files: tuple[Path, ...], label: str | None, as_json: bool) -> None:
    """Print the bits/dim of each image as CSV.

    Images are prepared as in training. less_png, the bits/dim less those of the PNG file, is the better anomaly score.
    """
    density = options.load_density(name)
    paths = find_images(files)
    rows: list[dict[str, Any]] = []
    names, batch = list(paths), options.at_most(BATCH, density.spec)
    labels = density.labels_of(label, names)
    with options.progress("scoring", len(names)) as on_image:
        for start in range(0, len(names), batch):
            images = np.stack([read_fitted(paths[filename], density) for filename in names[start : start + batch]])
            h = density.h(labels[start : start + batch])
            scores = bits_per_dim(density.model, density.variables, images, h=h).tolist()
            for index, (image, score) in enumerate(zip(images, scores, strict=True)):
                if math.isnan(score):
                    raise InputError(f"{names[start + index]}: {NOT_FINITE}")
                less = score - png_bits_per_dim(image, levels=density.model.levels)
                file = os.fsencode(names[start + index]).decode(errors="backslashreplace")
                rows.append({"file": file, "bits_per_dim": score, "less_png": less})
                on_image(index)
    if as_json:
        click.echo(json.dumps(rows))
        return
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(rows[0])
    writer.writerows((file, *(f"{x:.6f}" for x in values)) for file, *values in (row.values() for row in rows))
