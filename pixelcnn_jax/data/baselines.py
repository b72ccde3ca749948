"""Likelihoods of models without a network."""

import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from pixelcnn_jax.data.batches import evaluation_batches
from pixelcnn_jax.data.dataset import Splits
from pixelcnn_jax.data.indexed_images import Dataset


def baselines(splits: Splits) -> dict[str, dict[str, float]]:
    """Computes the held-out nats of two baselines fitted to the training split.

    "uniform": all levels alike. "independent pixels": level counts per sub-pixel, plus one.
    """
    shape, levels = splits.spec.shape, splits.spec.levels
    subpixels = math.prod(shape)
    counts = np.ones(subpixels * levels)
    for images in _batches(splits.train):
        cells = np.arange(subpixels) * levels + images.reshape(len(images), -1)
        counts += np.bincount(cells.ravel(), minlength=counts.size)
    table = counts.reshape(*shape, levels)
    table = np.log(table / table.sum(axis=-1, keepdims=True))
    return {
        "uniform": dict.fromkeys(splits.held_out, subpixels * math.log(levels)),
        "independent pixels": {name: _mean_nats(table, dataset) for name, dataset in splits.held_out.items()},
    }


def _mean_nats(table: Float[np.ndarray, "height width channels levels"], dataset: Dataset) -> float:
    total = sum(np.take_along_axis(table[None], images[..., None], axis=-1).sum() for images in _batches(dataset))
    return float(-total / len(dataset))


def _batches(dataset: Dataset) -> Iterator[Int[np.ndarray, "batch height width channels"]]:
    return (batch["image"][batch["mask"]] for batch in evaluation_batches(dataset, batch_size=500))
