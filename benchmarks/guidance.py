"""Class accuracy, diversity and likelihood by guidance weight.

python -m benchmarks.guidance MODEL --classifier=WORKDIR [--data-dir=DIR] [-o docs/pictures/guidance.png]

Assumes training with config.class_conditional.drop_condition; not checked. Diversity is the mean squared distance of
two samples of a class, relative to test images. The likelihood is under the guided conditionals, renormalised per
sub-pixel.
"""

import json
import math
from pathlib import Path
from typing import Any

import click
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from pixelcnn_jax import load_pretrained, sample
from pixelcnn_jax.cli.options import Density, load_density
from pixelcnn_jax.data.dataset import read_all
from pixelcnn_jax.data.loading import load
from pixelcnn_jax.data.pictures import save_grid
from pixelcnn_jax.distributions import log_probs_of
from pixelcnn_jax.foundation.user_command import UserCommand, path
from pixelcnn_jax.models.temperature_and_guidance import Adjustment

WEIGHTS = (0.0, 0.5, 1.0, 2.0, 4.0)
BATCH = 50
IMAGES = 500  # test images to score, at most

Images = Int[np.ndarray, "count height width channels"]
Labels = Int[np.ndarray, " count"]


def guided_bits(density: Density, images: Images, labels: Labels, weight: float) -> float:
    @jax.jit
    def nll(images: Array, h: Array) -> Float[Array, " batch"]:
        conditional, null = (density.model.apply(density.variables, images, x) for x in (h, jnp.zeros_like(h)))
        pairs = jnp.stack([conditional, null], axis=4)  # neighbours, as the sampler has them
        logits = Adjustment(None, weight).logits(pairs.reshape(-1, pairs.shape[-1]))
        return -log_probs_of(logits.reshape(conditional.shape), images).sum(axis=(1, 2, 3))

    parts = range(0, min(IMAGES, len(images)) // BATCH * BATCH, BATCH)
    values = [nll(images[i : i + BATCH], density.h(labels[i : i + BATCH])) for i in parts]
    return float(np.mean(values)) / (images[0].size * math.log(2))


def diversity(images: Images, labels: Labels) -> float:
    """Computes the mean squared distance of two images of one class."""
    return float(np.mean([2 * images[labels == label].var(axis=0, ddof=1).sum() for label in np.unique(labels)]))


@click.command(cls=UserCommand, help=__doc__)
@click.argument("name", metavar="MODEL")
@click.option("--classifier", required=True, help="Workdir of a classifier of the same images.")
@click.option("--data-dir", help="Where TFDS keeps its data sets.")
@click.option("--count", default=50, show_default=True, help="Samples of each class.")
@click.option("-o", "--output", type=path, help="PNG of samples to write.")
def main(name: str, classifier: str, data_dir: str | None, count: int, output: Path | None) -> None:
    density, (network, weights, _) = load_density(name), load_pretrained(classifier)
    test = read_all(load(split="test", **(vars(density.data) | {"data_dir": data_dir})))
    real = diversity(test["image"], test["label"])
    labels, rows = np.arange(density.classes).repeat(count), []
    result: dict[str, Any] = {"benchmark": "guidance", "model": name, "samples": len(labels)}
    print(f"{'w':>4} {'class accuracy':>15} {'diversity':>10} {'bits/dim':>9}")
    for w in WEIGHTS:
        shape = (len(labels), *density.spec.shape[:2])
        drawn = sample(
            density.model, density.variables, jax.random.key(0), shape=shape, h=density.h(labels), guidance=w
        )
        accuracy = float(np.mean(np.argmax(network.apply(weights, drawn), axis=1) == labels))
        ratio = diversity(np.asarray(drawn), labels) / real
        bits = guided_bits(density, test["image"], test["label"], w)
        print(f"{w:4} {accuracy:15.1%} {ratio:10.2f} {bits:9.3f}", flush=True)
        result[str(w)] = {"class_accuracy": accuracy, "diversity": ratio, "bits_per_dim": bits}
        rows.append(np.asarray(drawn)[np.arange(len(labels)) % count < 2])
    if output is not None:
        save_grid(output, np.stack(rows), levels=density.model.levels)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
