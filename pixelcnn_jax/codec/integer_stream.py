"""The stream of an integer model: the stacks of ``integer.py``, with remembered rows and columns as memory."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pixelcnn_jax.codec.integer import (
    IntegerPixelCNN,
    Memory,
    column_borders,
    distribution_of,
    encode_integers,
    horizontal_stack,
    outputs_of_head,
    prepare,
    vertical_stack,
)
from pixelcnn_jax.models.gated_stream import Rows
from pixelcnn_jax.models.inputs import Condition
from pixelcnn_jax.models.layers import rows_border
from pixelcnn_jax.models.parameters import Params


class Known(NamedTuple):
    """The state of a pixel: what crosses over to it, the columns left of it, and those with the pixel appended."""

    crossings: list[Array]
    columns: Memory
    appended: Memory


@dataclass(frozen=True)
class IntegerStream:
    """The ``Stream`` of an ``IntegerPixelCNN``; ``read_outputs`` is for the codec.

    Each colour computes the whole horizontal stack at its pixel. The features of later colours then mean nothing, and
    the masks keep them apart.
    """

    model: IntegerPixelCNN

    def prepare(self, params: Params) -> Params:
        """Returns the parameters as the stacks read them."""
        return prepare(self.model, params)

    def first_rows(self, params: Params, batch: int, width: int) -> Rows:
        """Returns the zero border above the image, for every layer."""
        above = jnp.zeros((batch, 1, width, self.model.inputs))
        return Rows(above, [rows_border(layer, above) for layer in params["layers"]])

    def open_row(self, params: Params, rows: Rows, condition: Condition) -> tuple[list[Array], Rows]:
        """Advances the vertical stack by a row."""
        crossings, remembered = vertical_stack(params, rows.last, rows.layers, condition)
        return crossings, Rows(rows.last, remembered)

    def close_row(
        self, params: Params, rows: Rows, above: list[Array], row: Int[Array, "batch 1 width channels"]
    ) -> Rows:
        """Returns the memory with a finished row as the last one."""
        return rows._replace(last=encode_integers(self.model, params, row))

    def first_columns(self, params: Params, batch: int) -> Memory:
        """Returns the zero border left of the image, for every layer."""
        return column_borders(params["layers"], batch, 1)

    def open_pixel(self, params: Params, columns: Memory, above: list[Array], column: Int[Array, ""] | int) -> Known:
        """Returns what crosses over to a pixel, and the columns left of it."""
        return Known([jax.lax.dynamic_slice_in_dim(x, column, 1, axis=2) for x in above], columns, columns)

    def read_outputs(
        self, params: Params, known: Known, pixel: Int[Array, "batch 1 1 channels"], *, colour: int
    ) -> tuple[Float[Array, "batch outputs"], Known]:
        """Returns the outputs of the head for a colour, given those before it in ``pixel``."""
        x = encode_integers(self.model, params, pixel)
        features, appended = horizontal_stack(params, x, known.crossings, known.columns)
        outputs = slice(colour * self.model.outputs, (colour + 1) * self.model.outputs)
        return outputs_of_head(params["head"], features, outputs)[:, 0, 0], known._replace(appended=appended)

    def read_colour(
        self, params: Params, known: Known, pixel: Int[Array, "batch 1 1 channels"], *, colour: int
    ) -> tuple[Float[Array, "batch levels"], Known]:
        """Returns the log-frequencies of a colour, given those before it in ``pixel``."""
        outputs, known = self.read_outputs(params, known, pixel, colour=colour)
        distribution = distribution_of(self.model, params["tables"])
        return distribution.log_frequencies(distribution.read(outputs)), known

    def close_pixel(
        self, params: Params, columns: Memory, known: Known, pixel: Int[Array, "batch 1 1 channels"]
    ) -> Memory:
        """Appends a finished pixel to the memory of every layer.

        No feature of the pixel reads its last colour, so only the memory of the first layer needs that colour.
        """
        finished = jnp.concatenate([columns[0], encode_integers(self.model, params, pixel)], axis=2)[:, :, 1:]
        return [finished, *known.appended[1:]]
