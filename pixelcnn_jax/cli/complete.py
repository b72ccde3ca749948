"""The verb ``complete``: a part of an image is hidden and drawn again."""

import math
from pathlib import Path
from typing import Any

import click
import jax
import numpy as np
from jaxtyping import Bool

from pixelcnn_jax import sampling
from pixelcnn_jax.cli import options
from pixelcnn_jax.cli.pictures import read_fitted
from pixelcnn_jax.data.image_files import save_grid
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.inputs import ImageSpec

PARTS = ("bottom", "top", "left", "right", "centre")


@click.command()
@options.model_argument
@click.argument("image", type=options.PATH)
@options.output_option("PNG to write")
@click.option("--hide", type=click.Choice(PARTS), default="bottom", show_default=True, help="Part to draw again.")
@click.option(
    "--share",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.5,
    show_default=True,
    help="Share of the height or width that is hidden; of both for the centre.",
)
@click.option("--count", type=click.IntRange(1, 1024), default=8, show_default=True, help="Number of completions.")
@options.label_option
@options.seed_option
@options.json_option
def complete(
    name: str,
    image: Path,
    output: Path,
    hide: str,
    share: float,
    count: int,
    label: int | None,
    seed: int,
    as_json: bool,
) -> None:
    """Hide a part of IMAGE and draw it again, several times.

    The image is cropped, resized and reduced as the images of training were.

    The picture shows the image, what is left of it, and the completions. With the bottom hidden they are exact draws
    from p(rest | given). With a different part hidden each pixel is drawn given the pixels before it in raster order.
    """
    if math.isnan(share):
        raise InputError("--share must be between 0 and 1, got nan.")
    options.check_output(output, suffix=".png")
    density = options.load_density(name)
    h = density.h_of(label, count)
    whole = read_fitted(image, density)
    given = given_mask(hide, share, density.spec)
    with options.progress("completing", density.spec.height) as on_row:
        completions = sampling.sample(
            density.model,
            density.variables,
            jax.random.key(seed),
            shape=(count, *whole.shape[:2]),
            h=h,
            given=np.broadcast_to(whole, (count, *whole.shape)),
            mask=given[None],
            on_row=on_row,
        )
    left = np.where(given, whole, density.model.levels // 2)
    save_grid(output, np.stack([whole, left, *np.asarray(completions)])[None], levels=density.model.levels)
    summary = {"model": name, "image": str(image), "hidden": hide, "share": share, "exact": hide == "bottom"}
    summary |= {"completions": count, "seed": seed, "output": str(output)}
    options.report(summary, f"{output}: {image}, what is left of it, and {count} completions", as_json=as_json)


def given_mask(part: str, share: float, spec: ImageSpec) -> Bool[np.ndarray, "height width 1"]:
    """Returns True where a pixel is given; at least one pixel is hidden."""
    height, width, _ = spec.shape
    rows, columns = max(1, round(share * height)), max(1, round(share * width))
    top, left = (height - rows) // 2, (width - columns) // 2
    hidden: dict[str, Any] = {
        "bottom": np.s_[height - rows :],
        "top": np.s_[:rows],
        "left": np.s_[:, :columns],
        "right": np.s_[:, width - columns :],
        "centre": np.s_[top : top + rows, left : left + columns],
    }
    given = np.ones((height, width, 1), bool)
    given[hidden[part]] = False
    return given
