"""Pieces of which experiments are made: initialisation, the key of a loss, grids of samples."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Key

from pixelcnn_jax.models.inputs import ImageSpec
from pixelcnn_jax.sampling import sample
from pixelcnn_jax.training.experiment import Params, Training


def blank(spec: ImageSpec) -> Array:
    """Returns an image of zeros, to initialise a network with."""
    return jnp.zeros((1, *spec.shape), jnp.int32)


def init_of(model: Any, spec: ImageSpec, *condition: Any) -> Callable[[Key[Array, ""]], Params]:
    """Returns the init of an experiment with one model, given the condition of an image."""
    return lambda key: dict(model.init(key, blank(spec), *condition))


def key_of(training: Training | None) -> Key[Array, ""] | None:
    """Returns the key of a training step; None in evaluation."""
    return None if training is None else training.key


def draw_grid(
    model: Any, params: Params, key: Key[Array, "..."], spec: ImageSpec, rows: int, columns: int, **options: Any
) -> Array:
    """Draws a grid of images, row by row."""
    images = sample(model, params, key, shape=(rows * columns, spec.height, spec.width), **options)
    return images.reshape(rows, columns, *spec.shape)
