"""What a likelihood is without a network: the floor of the papers' tables, of any data set.

python -m experiments.floor --config=configs/cifar10.py [--config.data_dir=DIR]

Uniform levels, independent pixels (counts over the training split), and one Gaussian of all sub-pixels with the
training split's mean and covariance, of images with uniform noise added: that one of at most 16,384 sub-pixels.
"""

import math
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from ml_collections import ConfigDict

from experiments import cli
from pixelcnn_jax.data.baselines import (
    gaussian_nats,
    independent_nats,
    independent_pixels,
    multivariate_gaussian,
    uniform_nats,
)
from pixelcnn_jax.data.dataset import Images
from pixelcnn_jax.likelihood import nats_to_bits_per_dim

MOST = 2**14  # sub-pixels that a covariance is counted of; 2 GB, a few times over


def main(argv: list[str] | None = None) -> None:
    """Prints the table; a summary as JSON."""
    argv = list(sys.argv) if argv is None else argv
    if cli.asks_for_help(argv):
        print(__doc__)
        return
    cli.report(lambda: floor(cli.parse(argv, with_workdir=False).config))


def floor(config: ConfigDict) -> dict[str, Any]:
    """Every floor of every held-out split. Raises InputError for data that cannot be had."""
    splits = cli.load_splits(config)
    models: dict[str, Callable[[Images], float]] = {
        "uniform": uniform_nats,
        "independent pixels": partial(independent_nats, independent_pixels(splits.train)),
    }
    if (subpixels := math.prod(splits.train.shape)) <= MOST:
        models["multivariate Gaussian"] = partial(gaussian_nats, multivariate_gaussian(splits.train))
    else:
        print(
            f"No Gaussian of {subpixels:,} sub-pixels: each square of them would take {8 * subpixels**2 / 1e9:.0f} GB. "
            f"At most {MOST:,} can be had: set resize.",
            file=sys.stderr,
        )
    held_out = {"validation": splits.validation, "test": splits.test}
    scores: dict[str, dict[str, dict[str, float]]] = {}
    print(f"{'model':24} {'split':12} {'bits/dim':>10} {'nats':>10}")
    for model, nats_of in models.items():
        for name, images in held_out.items():
            if images is not None:
                nats = nats_of(images)
                bits = nats_to_bits_per_dim(nats, images.shape)
                print(f"{model:24} {name:12} {bits:10.4f} {nats:10.2f}")
                scores.setdefault(model, {})[name] = {"nats": nats, "bits_per_dim": bits}
    return {"data": splits.train.description, "scores": scores}


if __name__ == "__main__":
    main()
