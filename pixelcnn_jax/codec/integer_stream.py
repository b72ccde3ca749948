"""The stream of an integer model: the stacks of ``integer.py``, with remembered rows and columns as memory."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt32

from pixelcnn_jax.codec.frequencies import log_frequencies, scaled_cumulative
from pixelcnn_jax.codec.integer import (
    IntegerPixelCNN,
    Memory,
    column_borders,
    encode_integers,
    head_logits,
    horizontal_stack,
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
    """The ``Stream`` of an ``IntegerPixelCNN``; ``read_cumulative`` is for the codec.

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

    def read_cumulative(
        self, params: Params, known: Known, pixel: Int[Array, "batch 1 1 channels"], *, colour: int
    ) -> tuple[tuple[UInt32[Array, "batch bounds"], UInt32[Array, "batch 1"]], Known]:
        """Returns the distribution of a colour as ``scaled_cumulative`` does, given those before it in ``pixel``."""
        x = encode_integers(self.model, params, pixel)
        features, appended = horizontal_stack(params, x, known.crossings, known.columns)
        outputs = slice(colour * self.model.levels, (colour + 1) * self.model.levels)
        logits = head_logits(params["head"], features, outputs)[:, 0, 0]
        return scaled_cumulative(params["tables"]["exp"], logits), known._replace(appended=appended)

    def read_colour(
        self, params: Params, known: Known, pixel: Int[Array, "batch 1 1 channels"], *, colour: int
    ) -> tuple[Float[Array, "batch levels"], Known]:
        """Returns the log-frequencies of a colour, given those before it in ``pixel``."""
        cumulative, known = self.read_cumulative(params, known, pixel, colour=colour)
        return log_frequencies(*cumulative), known

    def close_pixel(
        self, params: Params, columns: Memory, known: Known, pixel: Int[Array, "batch 1 1 channels"]
    ) -> Memory:
        """Appends a finished pixel to the memory of every layer.

        No feature of the pixel reads its last colour, so the layers after the first are known since that was drawn.
        """
        finished = jnp.concatenate([columns[0], encode_integers(self.model, params, pixel)], axis=2)[:, :, 1:]
        return [finished, *known.appended[1:]]
