"""The probabilities of every sub-pixel of a batch, one after another: the one function of encoder and decoder.

A range coder needs the same probabilities, to the last bit, where it writes and where it reads. Both sides run these
steps, at the same batch size, and differ only in where the values come from.
"""

from collections.abc import Generator
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from pixelcnn_jax.models.inputs import Condition, Variables, apply, params_of
from pixelcnn_jax.models.parameters import Params
from pixelcnn_jax.models.streaming import Stream, begin, stream_of

Table = Float[np.ndarray, "batch levels"]
Values = Int[np.ndarray, " batch"]
Tables = Generator[Table, Any, None]


def tables(model: nn.Module, variables: Variables, shape: tuple[int, int, int], condition: Condition) -> Tables:
    """Yields the probabilities of each sub-pixel in raster order; is sent the values of a sub-pixel for the next.

    Args:
      model, variables: a network and its variables.
      shape: batch, height and width.
      condition: the condition of each image.
    """
    stream = stream_of(model)
    if stream is None:
        return _by_running_again(model, variables, shape, condition)
    return _by_remembering(stream, params_of(variables), shape, condition)


def _by_remembering(stream: Stream, params: Params, shape: tuple[int, int, int], condition: Condition) -> Tables:
    batch, height, width = shape
    channels, step = stream.model.channels, partial(_step, stream)
    params, rows, no_columns = begin(stream, params, batch, width)
    for row in range(height):
        here = condition._replace(s=None if condition.s is None else condition.s[:, row : row + 1])
        above, rows = step("open_row", params, rows, here)
        columns, finished = no_columns, []
        for column in range(width):
            known = step("open_pixel", params, columns, above, column)
            pixel = np.zeros((batch, 1, 1, channels), np.int32)
            for colour in range(channels):
                table, known = _read_colour(stream, params, known, pixel, colour=colour)
                values = yield np.asarray(table)
                pixel = pixel.copy()  # JAX may still read the one that it was given
                pixel[:, 0, 0, colour] = values
            columns = step("close_pixel", params, columns, known, pixel)
            finished.append(pixel)
        rows = step("close_row", params, rows, above, np.concatenate(finished, axis=2))


def _by_running_again(
    model: nn.Module, variables: Variables, shape: tuple[int, int, int], condition: Condition
) -> Tables:
    images = np.zeros((*shape, model.channels), np.int32)
    for index in np.ndindex(images.shape[1:]):
        values = yield np.asarray(_run_again(model, variables, images, condition, *index))
        images = images.copy()
        images[:, *index] = values


@partial(jax.jit, static_argnames=("stream", "name"))
def _step(stream: Stream, name: str, *args: Any) -> Any:
    """Computes a step of a stream, by its name."""
    return getattr(stream, name)(*args)


@partial(jax.jit, static_argnames=("stream", "colour"))
def _read_colour(stream: Stream, *args: Any, colour: int) -> tuple[Array, Any]:
    logits, known = stream.read_colour(*args, colour=colour)
    return jax.nn.softmax(logits), known


@partial(jax.jit, static_argnames="model")
def _run_again(
    model: nn.Module, variables: Variables, images: Array | np.ndarray, condition: Condition, *index: Array | int
) -> Array:
    return jax.nn.softmax(apply(model, variables, images, condition)[:, *index].astype(jnp.float32))
