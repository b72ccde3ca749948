"""The floor of the papers' tables: what a likelihood is without a network."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from pixelcnn_jax.data.dataset import Images, evaluation_batches

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


class Gaussian(NamedTuple):
    """A normal distribution over all sub-pixels together, each with uniform noise of one level added.

    Attributes:
      mean: of the sub-pixels.
      factor: lower Cholesky factor of their covariance.
    """

    mean: Float[np.ndarray, " subpixels"]
    factor: Float[np.ndarray, "subpixels subpixels"]


def multivariate_gaussian(train: Images) -> Gaussian:
    """The Gaussian with the mean and the full covariance of the training split, the noise's variance 1/12 included."""
    subpixels = math.prod(train.shape)
    total, products = np.zeros(subpixels), np.zeros((subpixels, subpixels))
    # Taken from the middle level, lest the mean's square drown the variance.
    middle = (train.levels - 1) / 2
    for images in _batches(train):
        centred = images.reshape(len(images), -1) - middle
        total += centred.sum(axis=0)
        products += centred.T @ centred
    mean = total / len(train)
    covariance = products / len(train) - np.outer(mean, mean) + np.eye(subpixels) / 12
    return Gaussian(mean + middle + 0.5, np.linalg.cholesky(covariance))


def gaussian_nats(gaussian: Gaussian, images: Images) -> float:
    """Mean nats an image of a split under a Gaussian of x + u, u uniform in [0, 1): exact in the mean over u.

    As -log p(x) is at most the mean of -log p(x + u), it is comparable to what a model of the levels reaches.
    """
    inverse = np.linalg.inv(gaussian.factor)
    constant = len(inverse) / 2 * math.log(2 * math.pi) - np.log(np.diag(inverse)).sum() + np.sum(inverse**2) / 24
    squares = 0.0
    for batch in _batches(images):
        squares += np.sum(((batch.reshape(len(batch), -1) + 0.5 - gaussian.mean) @ inverse.T) ** 2)
    return float(constant + squares / 2 / len(images))


def _batches(images: Images) -> Iterator[Int[np.ndarray, "batch height width channels"]]:
    return (batch["image"][batch["mask"]] for batch in evaluation_batches(images, batch_size=500))
