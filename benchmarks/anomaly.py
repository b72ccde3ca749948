"""Anomaly detection by bits/dim, with and without a correction for complexity.

The score is bits/dim, or bits/dim minus those of the PNG file (Serrà et al. 2020).

python -m benchmarks.anomaly [--data-dir=DIR] [--count=500]
"""

import json
from typing import Any

import click
import numpy as np
from jaxtyping import Float, Integer
from sklearn.metrics import roc_auc_score

from pixelcnn_jax import bits_per_dim
from pixelcnn_jax.cli.options import Density, load_density
from pixelcnn_jax.data.dataset import read_all
from pixelcnn_jax.data.loading import load
from pixelcnn_jax.data.pictures import png_bits_per_dim
from pixelcnn_jax.foundation.user_command import UserCommand

# Model, anomalies, and the fields of its data set that give them, or the size of what is drawn.
PAIRS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("mnist", "Omniglot", {"dataset": "omniglot28", "invert": True, "labels": False}),
    ("mnist", "noise", {"drawn": (28, 28, 1)}),
    ("cifar10", "coloured MNIST", {"dataset": "mnist", "resize": 32, "labels": False}),
    ("cifar10", "constants", {"drawn": (1, 1, 3)}),
)
BATCH = 50

Images = Integer[np.ndarray, "count height width channels"]
Scores = Float[np.ndarray, " count"]


def auroc(usual: Scores, unusual: Scores) -> float:
    """Computes the AUROC, ties counting half."""
    return float(roc_auc_score(np.repeat([0, 1], [len(usual), len(unusual)]), np.concatenate([usual, unusual])))


def images_of(density: Density, changes: dict[str, Any], *, count: int) -> Images:
    """Draws noise, or reads test images as the model's data are prepared, grey ones for a model of colours tinted."""
    random = np.random.default_rng(0)
    if "drawn" in changes:
        values = random.integers(density.model.levels, size=(count, *changes["drawn"]))
        return np.broadcast_to(values, (count, *density.spec.shape))
    images = read_all(load(split="test", **(vars(density.data) | changes)).subset(count))["image"]
    if images.shape[-1] == density.spec.channels:
        return images
    colours = random.random((count, 1, 1, density.spec.channels))
    return np.round(images * colours).astype(np.int32)


def scores_of(density: Density, images: Images) -> tuple[Scores, Scores]:
    parts = [images[i : i + BATCH] for i in range(0, len(images), BATCH)]
    bits = np.concatenate([bits_per_dim(density.model, density.variables, part) for part in parts])
    return bits, bits - np.array([png_bits_per_dim(image, levels=density.model.levels) for image in images])


@click.command(cls=UserCommand, help=__doc__)
@click.option("--data-dir", help="Where TFDS keeps its data sets.")
@click.option("--count", default=500, show_default=True, help="Images of each data set.")
def main(data_dir: str | None, count: int) -> None:
    result, place = [], {"data_dir": data_dir}
    print("| model | anomalies | bits/dim, usual | anomalies | AUROC | less PNG |\n|---|---|---|---|---|---|")
    for name, kind, changes in PAIRS:
        density = load_density(name)
        images = [images_of(density, x | place, count=count) for x in ({}, changes)]
        usual, unusual = (scores_of(density, x) for x in images)
        raw, corrected = map(auroc, usual, unusual)
        means = [float(x.mean()) for x in (usual[0], unusual[0])]
        print(f"| `{name}` | {kind} | {means[0]:.3f} | {means[1]:.3f} | {raw:.3f} | {corrected:.3f} |", flush=True)
        result.append(
            {"model": name, "anomalies": kind, "bits_per_dim": means, "auroc": raw, "auroc_less_png": corrected}
        )
    print(json.dumps({"benchmark": "anomaly", "images": count, "pairs": result}))


if __name__ == "__main__":
    main()
