"""Small integer models for the tests: of random networks, which no training has made well-behaved."""

import functools

import jax
import numpy as np
from proofs import random_images, randomised

from pixelcnn_jax import GatedPixelCNN, quantise
from pixelcnn_jax.models.inputs import Condition

GREY = GatedPixelCNN(levels=5, features=8, layers=2)
BINARY = GatedPixelCNN(levels=2, features=8, layers=1, kernel_size=5, first_kernel_size=9)
COLOUR = GatedPixelCNN(levels=4, channels=3, features=9, layers=2, head_features=7, first_kernel_size=5)
CODES = GatedPixelCNN(levels=6, channels=2, features=8, layers=2, code_features=3)

MIXTURE = GatedPixelCNN(levels=6, channels=2, features=6, layers=1, mixture=2, point_masses=True)
PREDICTION = MIXTURE.clone(linear_prediction=True)
COUNTS = PREDICTION.clone(levels=2**16)


def one_hot(count, classes, seed=0):
    return np.eye(classes, dtype=np.float32)[np.random.default_rng(seed).integers(classes, size=count)]


def condition_of(shape, classes=0, maps=0, seed=0):
    """One-hot labels, and maps of small integers, for images of a shape."""
    generator = np.random.default_rng(seed + 1)
    s = generator.integers(-3, 4, size=(*shape[:3], maps)).astype(np.float32) if maps else None
    return Condition(one_hot(shape[0], classes, seed) if classes else None, s)


def make_integer(model, classes=0, maps=0, scale=0.3):
    """A float model's variables, its integer model, and the variables of that."""
    variables, integer, integers = _make_integer(model, classes, maps, scale)
    return variables, integer, jax.tree.map(lambda x: x, integers)  # a copy, which a test may change


@functools.cache
def _make_integer(model, classes, maps, scale):
    images = random_images(model, (20, 6, 6), key=9)
    condition = condition_of(images.shape, classes, maps)
    variables = randomised(
        model.init(jax.random.key(1), images[:1], *(x[:1] if x is not None else None for x in condition)), scale=scale
    )
    return variables, *quantise(model, variables, images, h=condition.h, s=condition.s)
