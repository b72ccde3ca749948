"""The command ``sample``: new images, or completions of one."""

import math
from functools import partial
from pathlib import Path
from typing import Any

import click
import jax
import numpy as np
from jaxtyping import Bool

from pixelcnn_jax import sampling
from pixelcnn_jax.cli import options
from pixelcnn_jax.cli.image_levels import read_fitted
from pixelcnn_jax.cli.options import Density
from pixelcnn_jax.code_model import CodeModel
from pixelcnn_jax.data.pictures import save_grid
from pixelcnn_jax.data.preparation import SCANS
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.inputs import ConditionLike

# Hidden part, as its place between the ends of height and width; None hides all of it.
PARTS = {"bottom": (1, None), "top": (0, None), "left": (None, 0), "right": (None, 1), "centre": (0.5, 0.5)}


@click.command()
@options.model_argument
@click.argument("words", metavar="[CONDITION]...", nargs=-1)
@click.option("--complete", "image", type=options.path, help="Image file to complete.")
@click.option("--hide", type=click.Choice(PARTS), default="bottom", help="Part to hide.")
@click.option("--share", type=float, default=0.5, help="Fraction of height or width to hide.")
@options.output_option("PNG to write")
@options.label_option
@click.option(
    "--count", type=click.IntRange(1, 1024), help="Images, or images per class. [default: 64; 8 completions; 10]"
)
@click.option("--temperature", type=float, default=1.0, help="Sampling temperature.")
@click.option("--guidance", type=float, default=0.0, help="Guidance weight; the model must be trained for it.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, help="Random seed.")
@options.json_option
def sample(
    name: str,
    words: tuple[str, ...],
    image: Path | None,
    hide: str,
    share: float,
    output: Path,
    label: str | None,
    count: int | None,
    temperature: float,
    guidance: float,
    seed: int,
    as_json: bool,
) -> None:
    """Draw images into a grid.

    CONDITION is a sentence for p(x|caption), or image files for p(x|examples). Class-conditional models draw a row per
    class. A completion is an exact sample of the model if you hide the bottom (or, if data.scan was set, what is
    drawn last), with temperature 1 and without guidance. Completions by a model of codes are never exact.
    """
    if not 0 < share < 1:
        raise InputError(f"--share must be between 0 and 1, got {share}.")
    options.check_output(output, suffix=".png")
    density = options.load_density(name, codes=True)
    if guidance and not density.card["guidance"]:
        raise InputError(f"--guidance must be 0 for {name}, which was trained without dropping the condition.")
    scan = SCANS[density.data.scan]
    classes = density.classes if label is None and not words and image is None else None  # of a row each
    if classes:
        columns = count or options.at_most(10 * classes, density.spec) // classes or 1
        count = classes * columns
    else:
        count = count or options.at_most(64 if image is None else 8, density.spec)
        columns = math.isqrt(count - 1) + 1 if image is None else count + 2
    if count > (most := options.at_most(count, density.spec)):
        raise InputError(f"--count must give at most {most} images of {name}, got {count}.")
    h = density.h(np.repeat(np.arange(classes), columns)) if classes else read_condition(density, words, label, count)
    height, width, channels = density.spec.shape
    arguments: dict[str, Any] = {"h": h, "temperature": temperature, "guidance": guidance}
    shown = np.zeros((0, height, width, channels), np.int32)
    if image is not None:
        whole = read_fitted(image, density)
        mask = scan(given_mask(hide, share, scan(whole).shape[:2]))
        arguments |= {"observed": np.broadcast_to(whole, (count, *whole.shape)), "mask": mask[None]}
        grey = (density.spec.levels if density.spec.levels <= 256 else int(whole.min()) + int(whole.max())) // 2
        shown = np.stack([whole, np.where(mask, whole, grey)])
    by_codes = isinstance(density.model, CodeModel)
    draw = density.model.sample if by_codes else partial(sampling.sample, density.model, density.variables)
    factors = [x.factor for name, x in density.model.networks.items() if "tokenizer" in name] if by_codes else [1]
    with options.progress("sampling", sum(height // factor for factor in factors)) as on_row:
        key, shape = jax.random.key(seed), (count, height, width)
        images = draw(key, shape=shape, **arguments, on_row=on_row)
    shown = scan(np.concatenate([shown, images]))
    blank, padding = shown.min() * (density.spec.levels > 256), ((0, -len(shown) % columns), *[(0, 0)] * 3)
    filled = np.pad(shown, padding, constant_values=blank).reshape(-1, columns, *shown.shape[1:])
    save_grid(output, filled, levels=density.spec.levels)
    summary = {"model": name, "images": count, "seed": seed, "output": str(output)}
    if image is not None:
        in_order = bool((np.diff(mask.ravel().astype(int)) <= 0).all()) and not by_codes
        summary |= {"completed": str(image), "exact": in_order and temperature == 1 and not guidance}
    drawn = "samples" if summary.get("exact", True) else "approximate completions"
    options.report(summary, f"{output}: {count} {drawn} of {name}", as_json=as_json)


def read_condition(density: Density, words: tuple[str, ...], label: str | None, count: int) -> ConditionLike | None:
    """Builds the shared h from a label, example files or a sentence.

    Raises:
      InputError: for missing, unexpected or wrong words or label.
    """
    by_words = density.part in ("examples", "caption")
    excess = label if by_words else next(iter(words), None)
    if excess is not None:
        raise InputError(f'Omit "{excess}": {density.name} is a model of {density.card["density"]}.')
    if not by_words:
        return density.h(density.labels_of(label, ["a sample"] * count))
    if not "".join(words).strip():
        what = "image files" if density.part == "examples" else 'a sentence such as "the digit two is at the top left"'
        raise InputError(f"{density.name} needs {what} after its name.")
    if density.part == "caption":  # one argument, or a word each
        h = density.conditioner.tokens([" ".join(words)])[0]
    else:
        h = np.stack([read_fitted(options.path(file), density) for file in words])
    return np.repeat(np.asarray(h)[None], count, axis=0)


def given_mask(part: str, share: float, shape: tuple[int, ...]) -> Bool[np.ndarray, "height width 1"]:
    """Builds the mask of observed pixels; at least one is hidden."""
    hidden = []
    for place, length in zip(PARTS[part], shape, strict=True):
        size = length if place is None else max(1, round(share * length))
        start = int((place or 0) * (length - size))
        hidden.append(slice(start, start + size))
    observed = np.ones((*shape, 1), bool)
    observed[tuple(hidden)] = False
    return observed
