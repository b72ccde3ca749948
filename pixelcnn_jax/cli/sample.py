"""The verb ``sample``: a grid of new images."""

import math
from pathlib import Path

import click
import jax
import numpy as np

from pixelcnn_jax import sampling
from pixelcnn_jax.cli import options
from pixelcnn_jax.data.image_files import save_grid
from pixelcnn_jax.models.inputs import Given


@click.command()
@options.model_argument
@click.argument("sentence", required=False)
@options.output_option("PNG to write")
@options.label_option
@click.option("--count", type=click.IntRange(1, 1024), help="Number of images (64), or of images per class (10).")
@options.seed_option
@options.json_option
def sample(
    name: str, sentence: str | None, output: Path, label: int | None, count: int | None, seed: int, as_json: bool
) -> None:
    """Draw new images into a grid.

    A class-conditional model without --label draws one row for each class. A model of p(x|caption) needs a SENTENCE,
    such as "the digit seven is at the top left".
    """
    options.check_output(output, suffix=".png")
    density = options.load_density(name, also="p(x|caption)")
    h: Given | None
    if density.classes and label is None and sentence is None:
        columns = count or 10
        labels = np.repeat(np.arange(density.classes), columns)
        h, count = density.h(labels), len(labels)
    else:
        count = count or 64
        columns = math.isqrt(count - 1) + 1
        h = density.h_of(label, count, sentence)
    height, width, channels = density.spec.shape
    with options.progress("sampling", height) as on_row:
        images = sampling.sample(
            density.model,
            density.variables,
            jax.random.key(seed),
            shape=(count, height, width),
            h=h,
            on_row=on_row,
        )
    rows = -(-count // columns)
    grid = np.zeros((rows * columns, height, width, channels), np.int32)
    grid[:count] = images
    save_grid(output, grid.reshape(rows, columns, *grid.shape[1:]), levels=density.model.levels)
    summary = {"model": name, "images": count, "seed": seed, "output": str(output)}
    options.report(summary, f"{output}: {count} samples of {name}", as_json=as_json)
