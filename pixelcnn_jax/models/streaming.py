"""A model advanced one row, one pixel, one colour at a time: what sampling and coding need of it.

Everything here calls the layers of ``layers.py`` with what was remembered in place of the zero border.
"""

from collections.abc import Callable, Sequence
from functools import partial, singledispatch
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pixelcnn_jax.models.autoregressive import as_logits, cast, encode, head_hidden, head_last
from pixelcnn_jax.models.gated_pixelcnn import GatedPixelCNN, masked, rows_border
from pixelcnn_jax.models.inputs import Condition
from pixelcnn_jax.models.layers import Context, columns_left, group_slice, horizontal_half, vertical_half
from pixelcnn_jax.models.parameters import Params

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

    Layers are listed, the strict one first, but stacked where all of them are computed at once: the columns left of a
    pixel, and what a colour contributes to the ``later`` ones. What a colour reads is cut to the block that leads to
    it, in which the masks are all ones.
    """
    params = masked(model, params)
    strict, stacked = params["strict"], params["layers"]
    layers = [strict, *(jax.tree.map(lambda x, index=index: x[index], stacked) for index in range(model.layers))]

    def of_colour(colour: int) -> Params:
        features = group_slice(model.features, model.channels, colour)
        hidden = group_slice(model.head_width, model.channels, colour)
        outputs = slice(colour * model.outputs, (colour + 1) * model.outputs)
        head, later = params["head"], slice(features.stop, None)
        inputs = [slice(_inputs(model, colour))] + [features] * model.layers
        return {
            "layers": [
                {
                    "horizontal": {"pixel": layer["horizontal"]["pixel"][known, :, features]},
                    "out": {"kernel": layer["out"]["kernel"][features, features]},
                }
                for layer, known in zip(layers, inputs, strict=True)
            ],
            "later": {
                "pixel": stacked["horizontal"]["pixel"][:, features, :, later],
                "out": jnp.stack([layer["out"]["kernel"][features, later] for layer in layers]),
            },
            "head": {
                "hidden": _block(head["hidden"], features.stop, hidden),
                "logits": _block(head["logits"], hidden.stop, outputs),
            },
        }

    prepared = {
        "rows": [{name: part for name, part in layer.items() if name != "out"} for layer in layers],
        "left": {"strict": strict["horizontal"]["left"], "layers": stacked["horizontal"]["left"]},
        "out": jnp.stack([layer["out"]["bias"][None, None, None] for layer in layers]),
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


class Pixel(NamedTuple):
    """What is known of the current pixel. Contexts are cut to the colours still to come.

    Attributes:
      strict: the context of the gate in the strict layer.
      gates: that of the stacked layers; unlike the strict one's it holds the earlier colours.
      outs: the context of the 1x1 before the residual, in all layers.
      inputs: the inputs of the stacked layers, a colour each.
      features: the features that the head reads, of the colours so far.
      hidden: those between its two 1x1.
    """

    strict: Float[Array, "batch 1 1 pair _"]
    gates: Float[Array, "stacked batch 1 1 pair _"]
    outs: Float[Array, "layers #batch 1 1 _"]
    inputs: Sequence[Float[Array, "stacked batch 1 1 _"]] = ()
    features: Float[Array, "batch 1 1 _"] | None = None
    hidden: Float[Array, "batch 1 1 _"] | None = None


def open_pixel(
    model: GatedPixelCNN,
    params: Params,
    memory: Columns,
    crossings: Float[Array, "layers batch 1 width pair features"],
    column: Int[Array, ""] | int,
) -> Pixel:
    """What every layer knows before the first colour of a pixel: what crossed over there, and the columns left."""
    here = jax.lax.dynamic_slice_in_dim(crossings, column, 1, axis=3)
    return Pixel(
        strict=here[0] + columns_left(params["left"]["strict"], memory.strict),
        gates=here[1:] + jax.vmap(columns_left)(params["left"]["layers"], memory.layers),
        outs=params["out"],
    )


def read_colour(
    model: GatedPixelCNN, params: Params, known: Pixel, pixel: Int[Array, "batch 1 1 channels"], *, colour: int
) -> tuple[Float[Array, "batch levels"], Pixel]:
    """The horizontal stack and the head for one colour: its logits, and what is known by then.

    Of ``pixel`` the channels before ``colour`` are read; ``known`` is what the call for the colour before returned.
    """
    own = params["colours"][colour]
    group = group_slice(model.features, model.channels, colour)
    size = group.stop - group.start
    x = encode(model, params, pixel)[..., : _inputs(model, colour)]
    outputs: list[Array] = []
    gated: list[Array] = []
    for layer, gate_context, out in zip(own["layers"], [known.strict, *known.gates], known.outs, strict=True):
        context = Context(gate_context[..., :size], out[..., :size])
        x, now_gated = horizontal_half(layer, x, context, residual=bool(outputs))
        outputs.append(x)
        gated.append(now_gated)
    inputs = jnp.stack(outputs[:-1])
    features = _append(known.features, x)
    hidden = _append(known.hidden, head_hidden(own["head"], features))
    known = Pixel(
        strict=known.strict[..., size:],
        gates=known.gates[..., size:] + _to_later(inputs, own["later"]["pixel"]),
        outs=known.outs[..., size:] + _to_later(jnp.stack(gated), own["later"]["out"]),
        inputs=[*known.inputs, inputs],
        features=features,
        hidden=hidden,
    )
    return as_logits(model, head_last(own["head"], hidden)[:, 0, 0]), known


def _to_later(
    x: Float[Array, "layers batch 1 1 group"], kernel: Float[Array, "layers group *later"]
) -> Float[Array, "layers batch 1 1 *later"]:
    """What one colour contributes to the colours after it, in all layers at once."""
    return jax.vmap(partial(jnp.tensordot, axes=1))(x, kernel)


def _append(known: Array | None, new: Array) -> Array:
    return new if known is None else jnp.concatenate([known, new], axis=-1)


def close_pixel(
    model: GatedPixelCNN, params: Params, memory: Columns, known: Pixel, pixel: Int[Array, "batch 1 1 channels"]
) -> Columns:
    """Pushes the finished pixel into the memory of every layer; the oldest column falls out."""
    inputs = jnp.concatenate(known.inputs, axis=-1)
    return Columns(
        jnp.concatenate([memory.strict, encode(model, params, pixel)], axis=2)[:, :, 1:],
        jnp.concatenate([memory.layers, inputs], axis=3)[:, :, :, 1:],
    )


@stream_of.register
def _(model: GatedPixelCNN) -> Stream:
    return Stream(prepare, first_row, read_row, first_column, open_pixel, read_colour, close_pixel)
