"""Small integer twins for the tests: of random networks, which no training has made well-behaved."""

import jax
import numpy as np
from proofs import random_images, randomised

from pixelcnn_jax import GatedPixelCNN
from pixelcnn_jax.models.quantise import quantise

GREY = GatedPixelCNN(levels=5, features=8, layers=2)
BINARY = GatedPixelCNN(levels=2, features=8, layers=1, kernel_size=5, first_kernel_size=9)
COLOUR = GatedPixelCNN(levels=4, channels=3, features=9, layers=2, head_features=7, first_kernel_size=5)


def one_hot(count, classes, seed=0):
    return np.eye(classes, dtype=np.float32)[np.random.default_rng(seed).integers(classes, size=count)]


def make_twin(model, classes=0, scale=0.3):
    """A float model's variables, its twin, and the twin's."""
    images, h = random_images(model, (20, 6, 6), key=9), one_hot(20, classes) if classes else None
    condition = () if h is None else (h,)
    variables = randomised(model.init(jax.random.key(1), images[:1], *(x[:1] for x in condition)), scale=scale)
    return variables, *quantise(model, variables, images, h=h)
