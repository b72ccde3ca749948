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
from pixelcnn_jax.data.image_files import png_bits_per_dim
from pixelcnn_jax.data.loading import load
from pixelcnn_jax.foundation.user_command import UserCommand

# model: data set of anomalies and its changed fields.
PAIRS: dict[str, dict[str, Any]] = {
    "binarized_mnist": {"dataset": "omniglot28", "binarize": "threshold", "invert": True, "labels": False},
    "cifar10": {"dataset": "mnist", "resize": 32, "labels": False},
}
BATCH = 50

Images = Integer[np.ndarray, "count height width channels"]
Scores = Float[np.ndarray, " count"]


def auroc(usual: Scores, unusual: Scores) -> float:
    """Computes the AUROC, ties counting half."""
    return float(roc_auc_score(np.repeat([0, 1], [len(usual), len(unusual)]), np.concatenate([usual, unusual])))


def held_out_images(density: Density, changes: dict[str, Any], *, count: int) -> Images:
    """Reads test images, prepared as the model's data; grey ones repeat their channel."""
    split = load(split="test", **(vars(density.data) | changes))
    return np.broadcast_to(read_all(split.subset(count))["image"], (count, *density.spec.shape))


def scores_of(density: Density, images: Images) -> tuple[Scores, Scores]:
    parts = [images[i : i + BATCH] for i in range(0, len(images), BATCH)]
    bits = np.concatenate([bits_per_dim(density.model, density.variables, part) for part in parts])
    return bits, bits - np.array([png_bits_per_dim(image, levels=density.model.levels) for image in images])


@click.command(cls=UserCommand, help=__doc__)
@click.option("--data-dir", help="Where TFDS keeps its data sets.")
@click.option("--count", default=500, show_default=True, help="Images of each data set.")
def main(data_dir: str | None, count: int) -> None:
    result = {}
    print(f"{'model':16} {'unusual':12} {'bits/dim, usual':>16} {'unusual':>8} {'AUROC':>7} {'less PNG':>9}")
    for name, changes in PAIRS.items():
        density, place = load_density(name), {"data_dir": data_dir}
        usual, unusual = (scores_of(density, held_out_images(density, x | place, count=count)) for x in ({}, changes))
        raw, corrected = map(auroc, usual, unusual)
        means = [float(x.mean()) for x in (usual[0], unusual[0])]
        print(f"{name:16} {changes['dataset']:12} {means[0]:16.3f} {means[1]:8.3f} {raw:7.3f} {corrected:9.3f}")
        result[name] = {**changes, "bits_per_dim": means, "auroc": raw, "auroc_less_png": corrected}
    print(json.dumps({"benchmark": "anomaly", "images": count, "pairs": result}))


if __name__ == "__main__":
    main()
