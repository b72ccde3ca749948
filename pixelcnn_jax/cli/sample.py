"""The verb ``sample``: a grid of new images."""

import math
from pathlib import Path

import click
import jax
import numpy as np

from pixelcnn_jax import sampling
from pixelcnn_jax.cli import options
from pixelcnn_jax.cli.given import read_given
from pixelcnn_jax.data.image_files import save_grid
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.inputs import Given


@click.command()
@options.model_argument
@click.argument("given", nargs=-1)
@click.option("--examples", multiple=True, metavar="FILE...", help="Images to draw others like, for a few-shot model.")
@options.output_option("PNG to write")
@options.label_option
@click.option("--count", type=click.IntRange(1, 1024), help="Number of images (64), or of images per class (10).")
@click.option("--temperature", type=float, default=1.0, show_default=True, help="Below 1 draws likelier images.")
@click.option("--guidance", type=float, default=0.0, show_default=True, help="For models trained with drop_condition.")
@options.seed_option
@options.json_option
def sample(
    name: str,
    given: tuple[str, ...],
    examples: tuple[str, ...],
    output: Path,
    label: int | None,
    count: int | None,
    temperature: float,
    guidance: float,
    seed: int,
    as_json: bool,
) -> None:
    """Draw new images into a grid.

    A class-conditional model without --label draws one row for each class. A model of p(x|...) needs GIVEN: a sentence
    such as "the digit seven is at the top left" for p(x|caption), image files for p(x|examples), which may follow
    --examples.
    """
    options.check_output(output, suffix=".png")
    density = options.load_density(name)
    config = density.card["config"]
    own = config.get(density.card["experiment"])  # None for a model that was not trained here
    empty_sets = density.part == "examples" and not config.get("data", {}).get("fewest_examples")
    if guidance and own is not None and not (own.get("drop_condition") or empty_sets):
        raise InputError(f"--guidance must be 0 for {name}, which was trained without drop_condition.")
    h: Given | None
    words = (*examples, *given)
    if density.classes and label is None and not words:
        columns = count or 10
        labels = np.repeat(np.arange(density.classes), columns)
        h, count = density.h(labels), len(labels)
    else:
        count = count or 64
        columns = math.isqrt(count - 1) + 1
        h = read_given(density, words, label, count)
    height, width, _ = density.spec.shape
    with options.progress("sampling", height) as on_row:
        images = sampling.sample(
            density.model,
            density.variables,
            jax.random.key(seed),
            shape=(count, height, width),
            h=h,
            temperature=temperature,
            guidance=guidance,
            on_row=on_row,
        )
    rows = -(-count // columns)
    filled = np.pad(images, ((0, rows * columns - count), (0, 0), (0, 0), (0, 0)))
    save_grid(output, filled.reshape(rows, columns, *density.spec.shape), levels=density.model.levels)
    summary = {"model": name, "images": count, "seed": seed, "output": str(output)}
    options.report(summary, f"{output}: {count} samples of {name}", as_json=as_json)
