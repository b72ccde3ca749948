"""The ``Stream`` of a Gated PixelCNN: its layers over cached rows and columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pixelcnn_jax.distributions import add_linear_prediction, differences
from pixelcnn_jax.models import layers
from pixelcnn_jax.models.attention import REACH, Memory, attend, no_rows
from pixelcnn_jax.models.autoregressive import Network, as_dtypes, as_logits, encode, head_hidden, head_last
from pixelcnn_jax.models.colours import colour_block, colour_slice, colour_slices, mask_params
from pixelcnn_jax.models.inputs import Condition, Index, Logits, PixelValues, RowValues
from pixelcnn_jax.models.parameters import Params, layers_of


class Rows(NamedTuple):
    """The encoded row above, each layer's vertical inputs above it, and what each attention remembers."""

    last: Float[Array, "batch 1 width inputs"]
    layers: list[Float[Array, "batch _ width _"]]
    attention: Sequence[Memory] = ()


class Columns(NamedTuple):
    """Each layer's horizontal inputs left of a pixel."""

    first: Float[Array, "batch 1 _ inputs"]
    layers: Float[Array, "stacked batch 1 _ features"]


class Pixel(NamedTuple):
    """What is known of the current pixel; its sums cover only the colours still to come.

    Attributes:
      first: Pre-activation of the first layer, as far as the rows above and the pixels to the left determine it.
      gates: The same for the other layers, and what the colours read so far add to it.
      outs: The 1x1 convolution ``out`` of each layer: its bias, and what the colours read so far add to it.
      neighbours: The left, upper and upper left pixel, for a linear prediction.
      inputs: Of each colour read so far, the inputs of all layers but the first.
      features: Output features of the colours read so far.
      hidden: The hidden units of the head for these colours.
    """

    first: Float[Array, "batch 1 1 pair _"]
    gates: Float[Array, "stacked batch 1 1 pair _"]
    outs: Float[Array, "layers #batch 1 1 _"]
    neighbours: list[Float[Array, "batch 1 1 inputs"]]
    inputs: Sequence[Float[Array, "stacked batch 1 1 _"]] = ()
    features: Float[Array, "batch 1 1 _"] | None = None
    hidden: Float[Array, "batch 1 1 _"] | None = None


# What a finished colour adds to the contexts of all later ones, for each layer: no colour reads it again.
to_later = jax.vmap(lambda x, kernel: jnp.tensordot(x, kernel, axes=1))


@dataclass(frozen=True)
class GatedStream:
    """The ``Stream`` of a Gated PixelCNN."""

    model: Network

    def prepare(self, params: Params) -> Params:
        """Sorts the masked parameters by use: per row, per pixel, per colour."""
        model, params = self.model, mask_params(self.model, as_dtypes(self.model, params, self.model.dtype))
        all_layers = layers_of(params, model.layers)
        prepared = {
            "rows": [{name: part for name, part in layer.items() if name != "out"} for layer in all_layers],
            "left": {name: params[name]["horizontal"]["left"] for name in ("first", "layers")},
            "out": jnp.stack([layer["out"]["bias"][None, None, None] for layer in all_layers]),
            "attention": [jax.tree.map(lambda x, i=i: x[i], params["attention"]) for i in range(len(model.attentions))],
            "colours": [self._of_colour(params, all_layers, colour) for colour in range(model.channels)],
        }
        return prepared | ({"embedding": params["embedding"]} if model.code_features else {})

    def _of_colour(self, params: Params, all_layers: list[Params], colour: int) -> Params:
        model, stacked, head = self.model, params["layers"], params["head"]
        features, hidden, outputs = colour_slices(model, colour)
        later_features = slice(features.stop, None)
        inputs = [slice(model.inputs_before(colour))] + [features] * model.layers
        return {
            "layers": [
                {
                    "horizontal": {"pixel": layer["horizontal"]["pixel"][rows, :, features]},
                    "out": {"kernel": layer["out"]["kernel"][features, features]},
                }
                for layer, rows in zip(all_layers, inputs, strict=True)
            ],
            "later": {
                "pixel": stacked["horizontal"]["pixel"][:, features, :, later_features],
                "out": jnp.stack([layer["out"]["kernel"][features, later_features] for layer in all_layers]),
            },
            "head": {
                "hidden": colour_block(head["hidden"], features.stop, hidden),
                "logits": colour_block(head["logits"], hidden.stop, outputs),
            },
        }

    def first_rows(self, params: Params, batch: int, width: int) -> Rows:
        last = jnp.zeros((batch, 1, width, self.model.inputs), self.model.dtype)
        memories = [no_rows(last, remembered=REACH - 1) for _ in params["attention"]]
        return Rows(last, [layers.zero_rows(layer, last) for layer in params["rows"]], memories)

    def open_row(self, params: Params, rows: Rows, condition: Condition) -> tuple[Any, Rows]:
        x, condition = rows.last, jax.tree.map(lambda x: x.astype(self.model.dtype), condition)
        crossings, remembered = [], []
        memories: list[Memory] = []
        for index, (layer, memory) in enumerate(zip(params["rows"], rows.layers, strict=True)):
            above = layers.vertical_layer(layer, x, memory, condition)
            crossings.append(above.crossing)
            remembered.append(above.memory)
            x = above.out
            if index in self.model.attentions:
                number = len(memories)
                x, attended = attend(params["attention"][number], x, rows.attention[number])
                memories.append(attended)
        return (jnp.stack(crossings), rows.last), Rows(rows.last, remembered, memories)

    def close_row(self, params: Params, rows: Rows, above: Any, row: RowValues) -> Rows:
        return rows._replace(last=encode(self.model, params, row))

    def first_columns(self, params: Params, batch: int) -> Columns:
        model, (_, inputs, *_) = self.model, params["left"]["first"].shape
        first = jnp.zeros((batch, 1, model.first_kernel_size // 2, inputs), model.dtype)
        return Columns(first, jnp.zeros((model.layers, batch, 1, model.kernel_size // 2, model.features), model.dtype))

    def open_pixel(self, params: Params, columns: Columns, above: Any, column: Index) -> Pixel:
        crossings, last = above
        crossing = jax.lax.dynamic_slice_in_dim(crossings, column, 1, axis=3)
        return Pixel(
            first=crossing[0] + layers.horizontal_conv_valid(params["left"]["first"], columns.first),
            gates=crossing[1:] + jax.vmap(layers.horizontal_conv_valid)(params["left"]["layers"], columns.layers),
            outs=params["out"],
            neighbours=neighbours_of(columns.first, last, column),
        )

    def read_colour(self, params: Params, state: Pixel, pixel: PixelValues, *, colour: int) -> tuple[Logits, Pixel]:
        model, weights = self.model, params["colours"][colour]
        block = colour_slice(model.features, model.channels, colour)
        size = block.stop - block.start
        x = encode(model, params, pixel)[..., : model.inputs_before(colour)]
        computed: list[Array] = []
        gated: list[Array] = []
        for layer, before, out in zip(weights["layers"], [state.first, *state.gates], state.outs, strict=True):
            x, now = layers.horizontal_layer(layer, x, before[..., :size], out[..., :size], residual=bool(computed))
            computed.append(x)
            gated.append(now)
        inputs = jnp.stack(computed[:-1])
        features = layers.concatenate_features(state.features, x)
        hidden = layers.concatenate_features(state.hidden, head_hidden(weights["head"], features))
        outputs = head_last(weights["head"], hidden)
        if model.linear_prediction:
            terms = terms_of(encode(model, params, pixel), state.neighbours, colour)
            outputs = add_linear_prediction(outputs, terms, components=model.mixture)
        state = state._replace(
            first=state.first[..., size:],
            gates=state.gates[..., size:] + to_later(inputs, weights["later"]["pixel"]),
            outs=state.outs[..., size:] + to_later(jnp.stack(gated), weights["later"]["out"]),
            inputs=[*state.inputs, inputs],
            features=features,
            hidden=hidden,
        )
        return as_logits(model, outputs[:, 0, 0]), state

    def close_pixel(self, params: Params, columns: Columns, state: Pixel, pixel: PixelValues) -> Columns:
        inputs = jnp.concatenate(state.inputs, axis=-1)
        return Columns(
            jnp.concatenate([columns.first, encode(self.model, params, pixel)], axis=2)[:, :, 1:],
            jnp.concatenate([columns.layers, inputs], axis=3)[:, :, :, 1:],
        )


def neighbours_of(columns: Array, last: Array, column: Index) -> list[Float[Array, "batch 1 1 inputs"]]:
    """Slices the encoded pixels left, above, and above left of a pixel."""
    behind_border = jnp.pad(last, ((0, 0), (0, 0), (1, 0), (0, 0)))
    corner, above = jnp.split(jax.lax.dynamic_slice_in_dim(behind_border, column, 2, axis=2), 2, axis=2)
    return [columns[:, :, -1:], above, corner]


def terms_of(pixel: Array, neighbours: list[Array], colour: int) -> Float[Array, "batch 1 1 terms"]:
    """Computes the ``differences`` of one colour from encoded pixels."""
    return differences(pixel[..., 1:], [x[..., 1:] for x in neighbours])[..., colour, :]
