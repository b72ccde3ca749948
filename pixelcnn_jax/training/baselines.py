"""Likelihoods of models without a network."""

import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Int

from pixelcnn_jax.data.dataset import Dataset
from pixelcnn_jax.data.loading import Splits
from pixelcnn_jax.data.source import read_ahead


def baselines(splits: Splits) -> dict[str, dict[str, float]]:
    """Computes the held-out nats of two baselines fitted to the training split.

    "uniform": all levels alike. "independent pixels": level counts per sub-pixel, plus one.
    """
    subpixels, levels = math.prod(splits.spec.shape), splits.spec.levels
    cells, table = np.arange(subpixels), np.ones((subpixels, levels))
    for image in _images(splits.train):
        table[cells, image] += 1
    table /= table.sum(axis=1, keepdims=True)
    np.log(table, out=table)  # in place, as it may have gigabytes
    return {
        "uniform": dict.fromkeys(splits.held_out, subpixels * math.log(levels)),
        "independent pixels": {
            name: -float(np.mean([table[cells, image].sum() for image in _images(dataset)]))
            for name, dataset in splits.held_out.items()
        },
    }


def _images(dataset: Dataset) -> Iterator[Int[np.ndarray, " subpixels"]]:
    examples = read_ahead(lambda index: dataset.get(index, seed=0), stop=len(dataset))
    return (example["image"].astype(np.int32).ravel() for example in examples)
