"""A model advanced one row, one pixel, one colour at a time: what sampling and coding need of it.

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
    cast,
    columns_border,
    encode,
    head_hidden,
    head_logits,
    masked,
    rows_border,
)
from pixelcnn_jax.inputs import Condition
from pixelcnn_jax.layers import Known, columns_left, group_slice, horizontal_half, vertical_half
from pixelcnn_jax.parameters import Params

# The rows above, one map a layer [batch, remembered rows, width, features].
Rows = list[Float[Array, "batch _ width _"]]


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
    """Sorts the parameters by when they are read: once a row, once a pixel, once a colour.

    Layers are listed, the strict one first, but for ``left``, which a pixel reads of all layers at once. What a colour
    reads is cut to the block that leads from what is known by then to that colour, where the masks are all ones.
    """
    params = masked(model, params)
    strict, stacked = params["strict"], params["layers"]
    layers = [strict, *(jax.tree.map(lambda x, index=index: x[index], stacked) for index in range(model.layers))]

    def of_colour(colour: int) -> Params:
        features = group_slice(model.features, model.channels, colour)
        hidden = group_slice(model.head_width, model.channels, colour)
        levels = slice(colour * model.levels, (colour + 1) * model.levels)
        head = params["head"]
        return {
            "layers": [
                {
                    "horizontal": {"pixel": layer["horizontal"]["pixel"][:known, :, features]},
                    "out": _block(layer["out"], features.stop, features),
                }
                for layer, known in zip(layers, [_inputs(model, colour)] + [features.stop] * model.layers, strict=True)
            ],
            "head": {
                "hidden": _block(head["hidden"], features.stop, hidden),
                "logits": _block(head["logits"], hidden.stop, levels),
            },
        }

    prepared = {
        "rows": [{name: part for name, part in layer.items() if name != "out"} for layer in layers],
        "left": {"strict": strict["horizontal"]["left"], "layers": stacked["horizontal"]["left"]},
        "colours": [of_colour(colour) for colour in range(model.channels)],
    }
    return prepared | ({"embedding": params["embedding"]} if model.code_features else {})


def _block(layer: Params, known: int, outputs: slice) -> Params:
    return {"kernel": layer["kernel"][:known, outputs], "bias": layer["bias"][outputs]}


def _inputs(model: GatedPixelCNN, colour: int) -> int:
    """How many of the features that ``encode`` makes of a pixel are known before one of its colours is."""
    return 1 + colour * max(1, model.code_features)


def first_row(model: GatedPixelCNN, params: Params, batch: int, width: int) -> Rows:
    """The zero border above the image, for every layer."""
    inputs = [layer["vertical"]["kernel"].shape[2] for layer in params["rows"]]
    empty = [jnp.zeros((batch, 0, width, features), model.dtype) for features in inputs]
    return [rows_border(layer, x) for layer, x in zip(params["rows"], empty, strict=True)]


def read_row(
    model: GatedPixelCNN,
    params: Params,
    memory: Rows,
    row_above: Int[Array, "batch 1 width channels"],
    is_inside: Array | bool,
    condition: Condition,
) -> tuple[Float[Array, "layers batch 1 width pair features"], Rows]:
    """The vertical stack over one row: what crosses over to the horizontal stack in every layer, and the new memory.

    ``row_above`` is the last finished row; where it is not inside the image it is the zero border. ``condition.s`` is
    the row of the map that is about to be sampled.
    """
    condition = cast(model, condition)
    x = encode(model, params, row_above)
    x = jnp.where(is_inside, x, jnp.zeros_like(x))
    crossings, remembered = [], []
    for layer, rows in zip(params["rows"], memory, strict=True):
        above = vertical_half(layer, x, rows, condition)
        crossings.append(above.crossing)
        remembered.append(above.memory)
        x = above.out
    return jnp.stack(crossings), remembered


class Columns(NamedTuple):
    """The inputs of every horizontal product at the columns left of a pixel."""

    strict: Float[Array, "batch 1 _ inputs"]
    layers: Float[Array, "stacked batch 1 _ features"]


def first_column(model: GatedPixelCNN, params: Params, batch: int) -> Columns:
    """The zero border left of the image, for every layer."""
    _, inputs, *_ = params["left"]["strict"].shape
    strict = jnp.zeros((batch, 1, model.first_kernel_size // 2, inputs), model.dtype)
    layers = jnp.zeros((model.layers, batch, 1, model.kernel_size // 2, model.features), model.dtype)
    return Columns(strict, layers)


def open_pixel(
    model: GatedPixelCNN,
    params: Params,
    memory: Columns,
    crossings: Float[Array, "layers batch 1 width pair features"],
    column: Int[Array, ""] | int,
) -> Float[Array, "layers batch 1 1 pair features"]:
    """The context of one pixel in every layer: what crossed over at its column, plus the columns to the left."""
    strict = columns_left(params["left"]["strict"], memory.strict)
    layers = jax.vmap(columns_left)(params["left"]["layers"], memory.layers)
    here = jax.lax.dynamic_slice_in_dim(crossings, column, 1, axis=3)
    return here + jnp.concatenate([strict[None], layers])


class Pixel(NamedTuple):
    """The features of the current pixel that are known by now, in every layer and in the head; None where none is."""

    inputs: Sequence[Array | None]
    gated: Sequence[Array | None]
    hidden: Array | None = None


def read_colour(
    model: GatedPixelCNN,
    params: Params,
    contexts: Float[Array, "layers batch 1 1 pair features"],
    pixel: Int[Array, "batch 1 1 channels"],
    known: Pixel | None,
    *,
    colour: int,
) -> tuple[Float[Array, "batch levels"], Pixel]:
    """The horizontal stack and the head for one colour group: logits of the colour, and what is known by then.

    Of ``pixel`` the channels before ``colour`` are read; ``known`` is what the call for the colour before returned.
    """
    count = len(contexts)
    known = known or Pixel([None] * (count + 1), [None] * count)
    own = params["colours"][colour]
    contexts = contexts[..., group_slice(model.features, model.channels, colour)]
    inputs, gated_features = [encode(model, params, pixel)[..., : _inputs(model, colour)]], []
    for index, layer in enumerate(own["layers"]):
        now = Known(inputs[-1], known.gated[index])
        out, gated = horizontal_half(layer, now, contexts[index], residual=index > 0)
        inputs.append(_append(known.inputs[index + 1], out))
        gated_features.append(gated)
    hidden = _append(known.hidden, head_hidden(own["head"], inputs[-1]))
    return head_logits(own["head"], hidden)[:, 0, 0], Pixel(inputs, gated_features, hidden)


def _append(known: Array | None, new: Array) -> Array:
    return new if known is None else jnp.concatenate([known, new], axis=-1)


def close_pixel(
    model: GatedPixelCNN, params: Params, memory: Columns, pixel: Int[Array, "batch 1 1 channels"], known: Pixel
) -> Columns:
    """Pushes the finished pixel into the memory of every layer; the oldest column falls out."""
    layers = jnp.stack([x for x in known.inputs[1:-1] if x is not None])
    return Columns(
        jnp.concatenate([memory.strict, encode(model, params, pixel)], axis=2)[:, :, 1:],
        jnp.concatenate([memory.layers, layers], axis=3)[:, :, :, 1:],
    )


@stream_of.register
def _(model: GatedPixelCNN) -> Stream:
    return Stream(prepare, first_row, read_row, first_column, open_pixel, read_colour, close_pixel)
