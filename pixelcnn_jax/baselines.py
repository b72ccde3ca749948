"""The floor of the papers' tables: what a likelihood is without a network."""

import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from pixelcnn_jax.data import Images, evaluation_batches

LogTable = Float[np.ndarray, "height width channels levels"]


def uniform_nats(images: Images) -> float:
    """Nats an image when every level of every sub-pixel is as likely as any other."""
    return math.prod(images.shape) * math.log(images.levels)


def independent_pixels(train: Images) -> LogTable:
    """log p of each level of each sub-pixel on its own: counts over the training split, one added to each."""
    subpixels = math.prod(train.shape)
    counts = np.ones(subpixels * train.levels)
    for images in _batches(train):
        cells = np.arange(subpixels) * train.levels + images.reshape(len(images), -1)
        counts += np.bincount(cells.ravel(), minlength=counts.size)
    table = counts.reshape(*train.shape, train.levels)
    return np.log(table / table.sum(axis=-1, keepdims=True))


def independent_nats(table: LogTable, images: Images) -> float:
    """Mean nats an image of a split under ``independent_pixels``."""
    total = 0.0
    for batch in _batches(images):
        total -= np.take_along_axis(np.broadcast_to(table, (len(batch), *table.shape)), batch[..., None], axis=-1).sum()
    return total / len(images)


def _batches(images: Images) -> Iterator[Int[np.ndarray, "batch height width channels"]]:
    return (batch["image"][batch["mask"]] for batch in evaluation_batches(images, batch_size=500))
