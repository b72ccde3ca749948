"""A model advanced one row, one pixel, one colour at a time: what cached sampling needs of it.

Everything here calls the layers of ``layers.py`` with what was remembered in place of the zero border.
"""

from collections.abc import Callable, Sequence
from functools import singledispatch
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pixelcnn_jax.gated_pixelcnn import (
    GatedPixelCNN,
    border,
    cast,
    colour_masks,
    encode,
    head_hidden,
    head_logits,
)
from pixelcnn_jax.inputs import Condition
from pixelcnn_jax.layers import Known, columns_left, group_slice, horizontal_half, vertical_half
from pixelcnn_jax.parameters import Params

# One map a layer, [batch, remembered rows or columns, columns or rows, features]: sizes differ from layer to layer.
Maps = list[Float[Array, "batch _ _ _"]]


class Stream(NamedTuple):
    """The steps of a model that remembers; each is a pure function of ``(model, params, ...)``.

    Attributes:
      prepare: the parameters as the steps want them, once for all images.
      first_row: what is remembered above the image: nothing, that is zeros.
      read_row: takes in the row above (integers, and whether there is one) and gives what every layer sees from above.
      first_column: what is remembered left of the image.
      open_pixel: what every layer sees from above and from the left at one pixel.
      read_colour: takes in the colours of the pixel so far and gives the logits of the next one.
      close_pixel: takes in the finished pixel.
    """

    prepare: Callable[..., Params]
    first_row: Callable[..., Any]
    read_row: Callable[..., tuple[Any, Any]]
    first_column: Callable[..., Any]
    open_pixel: Callable[..., Any]
    read_colour: Callable[..., tuple[Float[Array, "batch levels"], Any]]
    close_pixel: Callable[..., Any]


@singledispatch
def stream_of(model: nn.Module) -> Stream | None:
    """The steps of a model, or None where it has none and can only be re-run as a whole."""
    return None


def prepare(model: GatedPixelCNN, params: Params) -> Params:
    """Lists the layers, the strict one first, and casts them."""
    params = cast(model, params)
    stacked = [jax.tree.map(lambda x, index=index: x[index], params["layers"]) for index in range(model.layers)]
    return params | {"layers": [params["strict"], *stacked]}


def first_row(model: GatedPixelCNN, params: Params, batch: int, width: int) -> Maps:
    """The zero border above the image, for every layer."""
    return [_nothing(model, layer, batch, width, axis=1) for layer in params["layers"]]


def first_column(model: GatedPixelCNN, params: Params, batch: int) -> Maps:
    """The zero border left of the image, for every layer."""
    return [_nothing(model, layer, batch, 1, axis=2) for layer in params["layers"]]


def _nothing(model: GatedPixelCNN, layer: Params, batch: int, width: int, *, axis: int) -> Float[Array, "..."]:
    features = layer["vertical" if axis == 1 else "horizontal"]["kernel"].shape[-3]
    return border(layer, jnp.zeros((batch, 1, width, features), model.dtype), axis=axis)


def read_row(
    model: GatedPixelCNN,
    params: Params,
    memory: Maps,
    row_above: Int[Array, "batch 1 width channels"],
    is_inside: Array | bool,
    condition: Condition,
) -> tuple[list[Array], Maps]:
    """The vertical stack over one row: what crosses over to the horizontal stack in every layer, and the new memory.

    ``row_above`` is the last finished row; where it is not inside the image it is the zero border. ``condition.s`` is
    the row of the map that is about to be sampled.
    """
    condition = cast(model, condition)
    x = encode(model, params, row_above)
    x = jnp.where(is_inside, x, jnp.zeros_like(x))
    crossings, remembered = [], []
    for layer, rows in zip(params["layers"], memory, strict=True):
        above = vertical_half(layer, x, rows, condition)
        crossings.append(above.crossing)
        remembered.append(above.memory)
        x = above.out
    return crossings, remembered


def open_pixel(
    model: GatedPixelCNN, params: Params, memory: Maps, crossings: list[Array], column: Int[Array, ""] | int
) -> list[Array]:
    """The context of one pixel in every layer: what crossed over at its column, plus the columns to the left."""
    return [
        jax.lax.dynamic_slice_in_dim(crossing, column, 1, axis=2)
        + columns_left(layer["horizontal"]["kernel"][:-1], columns)
        for layer, columns, crossing in zip(params["layers"], memory, crossings, strict=True)
    ]


class Pixel(NamedTuple):
    """The features of the current pixel that are known by now, in every layer and in the head; None where none is."""

    inputs: Sequence[Array | None]
    gated: Sequence[Array | None]
    hidden: Array | None = None


def read_colour(
    model: GatedPixelCNN,
    params: Params,
    contexts: list[Array],
    pixel: Int[Array, "batch 1 1 channels"],
    known: Pixel | None,
    *,
    colour: int,
) -> tuple[Float[Array, "batch levels"], Pixel]:
    """The horizontal stack and the head for one colour group: logits of the colour, and what is known by then.

    Of ``pixel`` the channels before ``colour`` are read; ``known`` is what the call for the colour before returned.
    """
    masks = colour_masks(model)
    count = len(contexts)
    known = known or Pixel([None] * (count + 1), [None] * count)
    group = group_slice(model.features, model.channels, colour)
    x = encode(model, params, pixel)[..., : 1 + colour * max(1, model.code_features)]
    inputs, gated_features = [x], []
    for index, (layer, context) in enumerate(zip(params["layers"], contexts, strict=True)):
        strict = index == 0
        out, gated = horizontal_half(
            layer,
            Known(inputs[-1], known.gated[index]),
            context,
            mask=masks.strict if strict else masks.layers,
            out_mask=masks.layers,
            outputs=group,
            residual=not strict,
        )
        inputs.append(_append(known.inputs[index + 1], out))
        gated_features.append(gated)
    hidden = head_hidden(params, inputs[-1], masks, group_slice(model.head_width, model.channels, colour))
    hidden = _append(known.hidden, hidden)
    logits = head_logits(params, hidden, masks, slice(colour * model.levels, (colour + 1) * model.levels))
    return logits[:, 0, 0], Pixel(inputs, gated_features, hidden)


def _append(known: Array | None, new: Array) -> Array:
    return new if known is None else jnp.concatenate([known, new], axis=-1)


def close_pixel(
    model: GatedPixelCNN, params: Params, memory: Maps, pixel: Int[Array, "batch 1 1 channels"], known: Pixel
) -> Maps:
    """Pushes the finished pixel into the memory of every layer; the oldest column falls out."""
    finished = [encode(model, params, pixel), *(x for x in known.inputs[1:-1] if x is not None)]
    pushed = [jnp.concatenate(both, axis=2) for both in zip(memory, finished, strict=True)]
    return [columns[:, :, 1:] for columns in pushed]


@stream_of.register
def _(model: GatedPixelCNN) -> Stream:
    return Stream(prepare, first_row, read_row, first_column, open_pixel, read_colour, close_pixel)
