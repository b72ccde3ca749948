"""Likelihoods of models without a network, as baselines for the tables of the papers.

A baseline is fitted to the training split. It is a function that returns the mean nats per image of a data set.
"""

import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from jaxtyping import Int

from pixelcnn_jax.data.batches import evaluation_batches
from pixelcnn_jax.data.dataset import Splits
from pixelcnn_jax.data.images import Dataset
from pixelcnn_jax.foundation.errors import InputError

Baseline = Callable[[Dataset], float]

MAX_GAUSSIAN_SIZE = 2**14  # sub-pixels of an image; the covariance then takes 2 GB


def baselines(splits: Splits, names: Iterable[str] = ("uniform", "independent pixels")) -> dict[str, dict[str, float]]:
    """Returns the nats per image of each baseline on each held-out split.

    Args:
      splits: the data.
      names: keys of `BASELINES`.
    """
    fitted = {name: BASELINES[name](splits.train) for name in names}
    return {name: {split: nats(dataset) for split, dataset in splits.held_out.items()} for name, nats in fitted.items()}


def uniform(train: Dataset) -> Baseline:
    """Returns the model that gives all levels of all sub-pixels the same probability."""
    return lambda dataset: math.prod(train.spec.shape) * math.log(train.spec.levels)


def independent_pixels(train: Dataset) -> Baseline:
    """Returns the model of independent sub-pixels: counts over the training split, plus one."""
    shape, levels = train.spec.shape, train.spec.levels
    subpixels = math.prod(shape)
    counts = np.ones(subpixels * levels)
    for images in _batches(train):
        cells = np.arange(subpixels) * levels + images.reshape(len(images), -1)
        counts += np.bincount(cells.ravel(), minlength=counts.size)
    table = counts.reshape(*shape, levels)
    table = np.log(table / table.sum(axis=-1, keepdims=True))

    def nats(dataset: Dataset) -> float:
        total = 0.0
        for images in _batches(dataset):
            every = np.broadcast_to(table, (len(images), *table.shape))
            total -= np.take_along_axis(every, images[..., None], axis=-1).sum()
        return total / len(dataset)

    return nats


def gaussian(train: Dataset) -> Baseline:
    """Returns the Gaussian of x + u, with the mean and covariance of the training split and u uniform in [0, 1).

    The nats are exact in the mean over u, so they bound those of the levels x from above: they are comparable with the
    nats of a model of the levels.

    Raises:
      InputError: if the images have too many sub-pixels for a covariance matrix.
    """
    subpixels = math.prod(train.spec.shape)
    if subpixels > MAX_GAUSSIAN_SIZE:
        raise InputError(f"The Gaussian needs at most {MAX_GAUSSIAN_SIZE:,} sub-pixels, got {subpixels:,}: set resize.")
    total, products = np.zeros(subpixels), np.zeros((subpixels, subpixels))
    middle = (train.spec.levels - 1) / 2  # subtracted, or the square of the mean would cancel the variance
    for images in _batches(train):
        centred = images.reshape(len(images), -1) - middle
        total += centred.sum(axis=0)
        products += centred.T @ centred
    mean = total / len(train)
    covariance = products / len(train) - np.outer(mean, mean) + np.eye(subpixels) / 12  # 1/12 is the variance of u
    mean = mean + middle + 0.5
    inverse = np.linalg.inv(np.linalg.cholesky(covariance))
    constant = subpixels / 2 * math.log(2 * math.pi) - np.log(np.diag(inverse)).sum() + np.sum(inverse**2) / 24

    def nats(dataset: Dataset) -> float:
        squares = 0.0
        for images in _batches(dataset):
            squares += np.sum(((images.reshape(len(images), -1) + 0.5 - mean) @ inverse.T) ** 2)
        return float(constant + squares / 2 / len(dataset))

    return nats


BASELINES: dict[str, Callable[[Dataset], Baseline]] = {
    "uniform": uniform,
    "independent pixels": independent_pixels,
    "multivariate Gaussian": gaussian,
}


def _batches(dataset: Dataset) -> Iterator[Int[np.ndarray, "batch height width channels"]]:
    return (batch["image"][batch["mask"]] for batch in evaluation_batches(dataset, batch_size=500))
