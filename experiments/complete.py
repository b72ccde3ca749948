"""Completions of an image file: a part is hidden, and drawn again from the model of a workdir.

python -m experiments.complete --workdir=runs/digits --image=FILE --output=completions.png [--hide=bottom] [--count=8]

The picture shows the image, what is left of it, and the completions. With the bottom hidden they are exact draws from
p(rest | given); with any other part hidden each pixel is drawn given all before it in raster order, and is blind to
given pixels below and to its right.
"""

import argparse
import time
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from experiments import cli, trained
from pixelcnn_jax import InputError, sample
from pixelcnn_jax.data.dataset import from_array
from pixelcnn_jax.data.image_files import as_levels, save_grid
from pixelcnn_jax.data.sources import decode

PARTS = ("bottom", "top", "left", "right", "centre")


def main(argv: list[str] | None = None) -> None:
    """Completes an image; prints a summary as JSON."""
    parser = argparse.ArgumentParser(
        "python -m experiments.complete", description=__doc__, formatter_class=cli.AsWritten
    )
    parser.add_argument("--workdir", type=cli.a_path, required=True, help="where the model was trained")
    parser.add_argument(
        "--image", type=cli.a_path, required=True, help="cropped and resized to the size of those learned"
    )
    parser.add_argument("--output", type=cli.a_path, required=True, help="PNG to write; must be new")
    parser.add_argument("--hide", choices=PARTS, default="bottom", help="which part is drawn again")
    parser.add_argument("--share", type=float, default=0.5, help="of height, width or, of the centre, both")
    parser.add_argument("--count", type=int, default=8, help="completions")
    parser.add_argument("--label", type=int, help="the class, for a model that was trained given one")
    parser.add_argument("--seed", type=int, default=0, help="of the noise")
    cli.report(partial(complete, parser.parse_args(argv)))


def complete(arguments: argparse.Namespace) -> dict[str, Any]:
    """Hides, draws, writes the grid."""
    if not 1 <= arguments.count <= 1024 or not 0 < arguments.share < 1 or not 0 <= arguments.seed < 2**32:
        raise InputError("--count must be 1 to 1024, --share between 0 and 1, and --seed 0 to 2**32 - 1.")
    cli.check_picture(arguments.output)
    model, variables, shape, config = trained.load(arguments.workdir, label=arguments.label)
    plain = trained.files_hold_levels(config)
    image = read(arguments.image, shape, model.levels, bits=config.bits, invert=config.invert, plain=plain)
    given = keep(arguments.hide, arguments.share, shape)
    began = time.monotonic()
    images = np.broadcast_to(image, (arguments.count, *shape))
    with tqdm(desc="completing", total=shape[0], unit="row", disable=None) as bar:
        completions = sample(
            model,
            variables,
            jax.random.key(arguments.seed),
            shape=(arguments.count, *shape[:2]),
            given=images,
            mask=given[None],
            on_row=lambda _: bar.update() and None,
        )
    left = np.where(given, image, model.levels // 2)
    save_grid(arguments.output, np.stack([image, left, *completions])[None], levels=model.levels)
    return {
        "image": str(arguments.image),
        "hidden": f"{arguments.hide}, {arguments.share:g}",
        "exact": arguments.hide == "bottom",
        "completions": arguments.count,
        "seconds": time.monotonic() - began,
        "output": str(arguments.output),
    }


def read(
    file: Path,
    shape: tuple[int, int, int],
    levels: int,
    *,
    bits: int | None = None,
    invert: bool = False,
    plain: bool = False,
) -> np.ndarray:
    """An image file as the model's levels, at the size of the images it learned and reduced to levels as they were.

    A ``plain`` file holds levels as they are. Raises InputError for a file that is no image, for a model whose images
    no file holds, and for a value of a plain file that is no level.
    """
    height, width, channels = shape
    if channels not in (1, 3) or levels > 256:
        raise InputError(f"Image files hold 1 or 3 channels of 8 bits, but this model {channels} of {levels} levels.")
    pixels = decode(file, colour=channels == 3)
    resized = from_array(pixels[None], levels=256, bits=bits, invert=invert, resize=(height, width))
    image = np.asarray(resized.examples[0]["image"])
    if plain and image.max() >= levels:
        raise InputError(f"{file} holds the value {image.max()}, but the model has {levels} levels, from 0.")
    return image if bits or plain else as_levels(image, levels=levels)


def keep(part: str, share: float, shape: tuple[int, int, int]) -> np.ndarray:
    """True where a pixel is given, [height, width, 1]; at least one is hidden."""
    height, width, _ = shape
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


if __name__ == "__main__":
    main()
