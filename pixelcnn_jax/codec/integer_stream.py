"""Stream of an integer model, with remembered rows and columns."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pixelcnn_jax.codec.integer_layers import (
    Memory,
    columns_left,
    distribution_of,
    encode_integers,
    head_hidden,
    head_last,
    horizontal_half,
    horizontal_stack,
    into_layer,
    predicted,
    prepare,
    vertical_stack,
)
from pixelcnn_jax.distributions import differences, neighbours
from pixelcnn_jax.models.autoregressive import Network
from pixelcnn_jax.models.colours import colour_block, colour_slice
from pixelcnn_jax.models.gated_stream import Rows, neighbours_of, terms_of
from pixelcnn_jax.models.inputs import Condition, Images
from pixelcnn_jax.models.layers import append, rows_border
from pixelcnn_jax.models.parameters import Params


class PixelState(NamedTuple):
    """State of a pixel. Before the first colour, all but ``contexts`` are None.

    Attributes:
      contexts: crossing plus columns to the left, per layer.
      inputs: inputs of the pixel's products, per layer.
      gated: gated features, per layer.
      neighbours: encoded pixels left, above, and above left.
      features: input of the head.
      hidden: hidden features of the head.
    """

    contexts: list[Float[Array, "batch 1 1 pair features"]]
    inputs: list[Array] | list[None]
    gated: list[Array] | list[None]
    neighbours: list[Float[Array, "batch 1 1 inputs"]]
    features: Float[Array, "batch 1 1 _"] | None = None
    hidden: Float[Array, "batch 1 1 _"] | None = None


@dataclass(frozen=True)
class IntegerStream:
    """The ``Stream`` of an ``IntegerPixelCNN``; ``read_outputs`` is for the codec."""

    model: Network

    def prepare(self, params: Params) -> Params:
        """Prepares parameters, and unmasked blocks per colour."""
        net = prepare(self.model, params)
        return net | {"colours": [self._of_colour(net, colour) for colour in range(self.model.channels)]}

    def _of_colour(self, net: Params, colour: int) -> Params:
        model, head = self.model, net["head"]
        features = colour_slice(model.features, model.channels, colour)
        hidden = colour_slice(model.head_width, model.channels, colour)
        outputs = slice(colour * model.outputs, (colour + 1) * model.outputs)
        inputs = [model.inputs_before(colour)] + [features.stop] * model.layers

        def cut(tree: Params, names: tuple[str, ...], part: slice) -> Params:
            return {name: tree[name][..., part] for name in names if name in tree}

        layers = [
            {
                "horizontal": {"kernel": layer["horizontal"]["kernel"][-1:, :before, :, features]},
                "out": colour_block(layer["out"], features.stop, features),
                "shifts": layer["shifts"] | cut(layer["shifts"], ("horizontal", "out"), features),
                "clips": cut(layer["clips"], ("input", "residual"), features),
                "tables": layer["tables"],
            }
            for layer, before in zip(net["layers"], inputs, strict=True)
        ]
        shifts, clips = head["shifts"], head["clips"]
        return {
            "layers": layers,
            "head": {
                "hidden": colour_block(head["hidden"], features.stop, hidden),
                "logits": colour_block(head["logits"], hidden.stop, outputs),
                "shifts": shifts | cut(shifts, ("hidden",), hidden) | cut(shifts, ("logits",), outputs),
                "clips": cut(clips, ("input",), slice(features.stop)) | cut(clips, ("hidden",), hidden),
            },
        }

    def first_rows(self, params: Params, batch: int, width: int) -> Rows:
        above = jnp.zeros((batch, 1, width, self.model.inputs))
        return Rows(above, [rows_border(layer, above) for layer in params["layers"]])

    def read_rows(
        self, params: Params, rows: Rows, images: Images, condition: Condition
    ) -> tuple[Float[Array, "batch height width channels outputs"], Rows]:
        """Computes head outputs of several rows in parallel."""
        x = encode_integers(self.model, params, images)
        above = jnp.concatenate([rows.last, x], axis=1)
        crossings, remembered = vertical_stack(params, above[:, :-1], rows.layers, condition)
        features = horizontal_stack(params["layers"], x, crossings)
        outputs = head_last(params["head"], head_hidden(params["head"], features))
        outputs = outputs.reshape(*images.shape, self.model.outputs)
        if self.model.linear_prediction:
            around = [y[:, 1:] for y in neighbours(above[..., 1:])]
            outputs = predicted(self.model, outputs, differences(x[..., 1:], around))
        return outputs, Rows(above[:, -1:], remembered)

    def open_row(self, params: Params, rows: Rows, condition: Condition) -> tuple[list[Array], Rows]:
        crossings, remembered = vertical_stack(params, rows.last, rows.layers, condition)
        return [*crossings, rows.last], Rows(rows.last, remembered)

    def close_row(
        self, params: Params, rows: Rows, above: list[Array], row: Int[Array, "batch 1 width channels"]
    ) -> Rows:
        return rows._replace(last=encode_integers(self.model, params, row))

    def first_columns(self, params: Params, batch: int) -> Memory:
        kernels = [layer["horizontal"]["kernel"] for layer in params["layers"]]
        return [jnp.zeros((batch, 1, x.shape[0] - 1, x.shape[1]), x.dtype) for x in kernels]

    def open_pixel(
        self, params: Params, columns: Memory, above: list[Array], column: Int[Array, ""] | int
    ) -> PixelState:
        layers, nothing = params["layers"], [None] * (1 + self.model.layers)
        crossings = [jax.lax.dynamic_slice_in_dim(x, column, 1, axis=2) for x in above[:-1]]
        contexts = [x + columns_left(*each) for x, *each in zip(crossings, layers, columns, strict=True)]
        return PixelState(contexts, nothing, nothing, neighbours_of(columns[0], above[-1], column))

    def read_outputs(
        self, params: Params, state: PixelState, pixel: Int[Array, "batch 1 1 channels"], *, colour: int
    ) -> tuple[Float[Array, "batch outputs"], PixelState]:
        """Computes head outputs of a colour, given earlier ones in ``pixel``."""
        weights, block = params["colours"][colour], colour_slice(self.model.features, self.model.channels, colour)
        x: Array = encode_integers(self.model, params, pixel)[..., : self.model.inputs_before(colour)]
        outs: list[Array] = []
        inputs, gated = [], []
        for layer, context, before, gated_before in zip(weights["layers"], *state[:3], strict=True):
            x = append(before, into_layer(layer, outs[-1])) if outs else x
            out, now = horizontal_half(layer, x, context[..., block], outs[-1] if outs else None, gated_before)
            outs.append(out)
            inputs.append(x)
            gated.append(now)
        features = append(state.features, outs[-1])
        hidden = append(state.hidden, head_hidden(weights["head"], features))
        outputs = head_last(weights["head"], hidden)
        if self.model.linear_prediction:
            terms = terms_of(encode_integers(self.model, params, pixel), state.neighbours, colour)
            outputs = predicted(self.model, outputs, terms)
        return outputs[:, 0, 0], PixelState(state.contexts, inputs, gated, state.neighbours, features, hidden)

    def read_colour(
        self, params: Params, state: PixelState, pixel: Int[Array, "batch 1 1 channels"], *, colour: int
    ) -> tuple[Float[Array, "batch levels"], PixelState]:
        """Computes log-frequencies of a colour, given earlier ones in ``pixel``."""
        outputs, state = self.read_outputs(params, state, pixel, colour=colour)
        distribution = distribution_of(self.model, params["tables"])
        return distribution.log_frequencies(distribution.read(outputs)), state

    def close_pixel(
        self, params: Params, columns: Memory, state: PixelState, pixel: Int[Array, "batch 1 1 channels"]
    ) -> Memory:
        finished = [encode_integers(self.model, params, pixel), *state.inputs[1:]]
        return [jnp.concatenate(each, axis=2)[:, :, 1:] for each in zip(columns, finished, strict=True)]
