"""Recognisability and diversity of few-shot samples by temperature.

python -m benchmarks.few_shot MODEL [--data-dir=DIR]

Samples are given one drawing of an unseen character; nine others are references. A sample is recognised if the nearest
reference of 20 characters is of its own, by the modified Hausdorff distance (Dubuisson and Jain 1994) of centred
drawings. Diversity is the number of differing pixels of two samples of a character, relative to real drawings.
"""

import json
from typing import Any

import click
import jax
import numpy as np
from jaxtyping import Float, Int

from experiments.shared.measuring import draw_in_parts
from pixelcnn_jax import InputError, sample
from pixelcnn_jax.cli.options import load_density
from pixelcnn_jax.data.example_sets import ExampleSets
from pixelcnn_jax.data.loading import load
from pixelcnn_jax.foundation.user_command import UserCommand

WAYS = 20  # characters to choose from
REFERENCES = 9  # drawings per character

Drawings = Int[np.ndarray, "count height width 1"]
Characters = Int[np.ndarray, "characters drawings height width 1"]


def hausdorff(a: Drawings, b: Drawings) -> Float[np.ndarray, "first second"]:
    """Computes modified Hausdorff distances of all pairs, in pixels; ink is 1."""
    return np.maximum(_to_nearest_ink(a, b), _to_nearest_ink(b, a).T)


def _to_nearest_ink(drawings: Drawings, targets: Drawings) -> Float[np.ndarray, "drawings targets"]:
    from scipy.ndimage import distance_transform_edt

    far = float(drawings.shape[2])
    distances = [distance_transform_edt(1 - x) if x.any() else np.full(x.shape, far) for x in targets[..., 0]]
    ink = drawings.reshape(len(drawings), -1)
    total = ink.sum(axis=1, keepdims=True)
    return np.where(total, ink @ np.reshape(distances, (len(targets), -1)).T / np.maximum(total, 1), far)


def centred(drawings: Drawings) -> Drawings:
    """Centres the ink on larger paper."""
    height, width = drawings.shape[1:3]
    paper = np.pad(drawings, ((0, 0), (height, height), (width, width), (0, 0)))
    for i in np.flatnonzero(drawings.any(axis=(1, 2, 3))):
        rows, columns = np.nonzero(paper[i, ..., 0])
        move = round(1.5 * height - rows.mean()), round(1.5 * width - columns.mean())
        paper[i] = np.roll(paper[i], move, axis=(0, 1))
    return paper[:, height // 2 : -(height // 2), width // 2 : -(width // 2)]


def recognised(drawings: Characters, references: Characters) -> float:
    """Computes the fraction of drawings recognised; blank ones never are."""
    distances = hausdorff(*(centred(np.concatenate(characters)) for characters in (drawings, references)))
    nearest = np.argmin(distances, axis=1).reshape(drawings.shape[:2]) // references.shape[1]
    return float(np.mean((nearest == np.arange(len(drawings))[:, None]) & drawings.any(axis=(2, 3, 4))))


def diversity(drawings: Characters) -> float:
    first, second = np.triu_indices(drawings.shape[1], 1)
    return float(np.mean(np.sum(drawings[:, first] != drawings[:, second], axis=(2, 3, 4))))


def read_characters(images: ExampleSets, count: int, drawings: int) -> Characters:
    """Reads drawings of evenly spaced characters of a split."""
    characters = [members for members in images.members.values() if len(members) >= drawings]
    if len(characters) < count:
        raise InputError(
            f"--groups and --count ask for {count} characters of {drawings} drawings each, and "
            f"{images.description} has {len(characters)}."
        )
    selection = [characters[i * len(characters) // count][:drawings] for i in range(count)]
    return np.array([[images.images.get(int(i), seed=0)["image"] for i in members] for members in selection], int)


@click.command(cls=UserCommand, help=__doc__)
@click.argument("name", metavar="MODEL")
@click.option("--data-dir", help="Where TFDS keeps its data sets.")
@click.option("--groups", type=click.IntRange(1), default=5, show_default=True, help="Groups of 20 characters.")
@click.option("--count", type=click.IntRange(2), default=10, show_default=True, help="Samples of each character.")
@click.option("--temperature", "temperatures", type=float, multiple=True, default=(0.6, 0.8, 1.0), show_default=True)
def main(name: str, data_dir: str | None, groups: int, count: int, temperatures: tuple[float, ...]) -> None:
    density = load_density(name)
    if density.part != "examples" or density.model.levels != 2:
        raise InputError(f"{name} must be a model of p(x|examples) of images of two levels.")
    settings = vars(density.data)
    images = load(split=settings["test_split"], **settings | {"data_dir": data_dir})
    assert isinstance(images, ExampleSets)  # as the model was given examples
    characters = read_characters(images, groups * WAYS, 1 + REFERENCES + count)
    examples, references, real = np.split(characters, [1, 1 + REFERENCES], axis=1)
    shape, pixels = density.spec.shape[:2], diversity(real)
    result: dict[str, Any] = {"benchmark": "few_shot", "model": name, "drawings": real.shape[0] * count}
    print(f"{'drawings':>12} {'recognised':>11} {'diversity':>10} {'blank':>7}")

    def show(title: str, drawings: Characters) -> None:
        spaced = [slice(group, None, groups) for group in range(groups)]
        share = float(np.mean([recognised(drawings[group], references[group]) for group in spaced]))
        ratio, blank = diversity(drawings) / pixels, float(np.mean(~drawings.any(axis=(2, 3, 4))))
        print(f"{title:>12} {share:11.1%} {ratio:10.2f} {blank:7.1%}", flush=True)
        result[title] = {"recognised": share, "diversity": ratio, "blank": blank}

    show("real", real)
    h = np.repeat(examples, count, axis=0)
    for temperature in temperatures:

        def draw(key: Any, h: Any, temperature: float = temperature) -> Any:
            return sample(density.model, density.variables, key, shape=(len(h), *shape), h=h, temperature=temperature)

        drawn = draw_in_parts(draw, jax.random.key(0), h)
        show(f"T = {temperature}", drawn.reshape(real.shape))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
