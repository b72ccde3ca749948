"""The ``Stream`` of a residual network."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pixelcnn_jax.models.autoregressive import as_dtypes, as_logits, encode, head_hidden, head_last
from pixelcnn_jax.models.colours import colour_block, colour_slices
from pixelcnn_jax.models.inputs import Condition, Index, Logits, PixelValues, RowValues
from pixelcnn_jax.models.layers import Features, horizontal_conv, horizontal_conv_valid, vertical_conv_valid
from pixelcnn_jax.models.parameters import Params, layers_of
from pixelcnn_jax.models.predecessors.residual import ResidualNetwork, convolve


class Pixel(NamedTuple):
    """State of the current pixel, per layer.

    Attributes:
      above: contexts from above.
      left: products with the columns to the left.
      read: inputs that later pixels will read; final after the last colour.
    """

    above: list[Any]
    left: list[Array]
    read: list[Array]


@dataclass(frozen=True)
class ResidualStream:
    """The ``Stream`` of a ``ResidualNetwork``; a subclass defines the layer.

    Each colour recomputes the whole pixel; masks hide later colours.
    """

    model: ResidualNetwork

    def taps_left(self, layer: Params) -> Float[Array, "columns inputs *out"]:
        """Selects the kernel over the columns left of a pixel."""
        raise NotImplementedError

    def border(self, layer: Params, batch: int, width: int) -> Any:
        """Builds a layer's memory above the image."""
        raise NotImplementedError

    def context_from_above(self, layer: Params, memory: Any, condition: Condition) -> Any:
        """Computes a layer's context of the next row."""
        raise NotImplementedError

    def read(self, layer: Params, x: Features, above: Any) -> Float[Array, "batch 1 width _"]:
        """Returns what a layer's masked convolution reads: x, unless a subclass computes it from x."""
        return x

    def block(self, layer: Params, read: Array, above: Any, left: Array) -> tuple[Features, Any]:
        """Computes a layer's residual, and a row of its memory."""
        raise NotImplementedError

    def remember(self, memory: Any, new: Any) -> Any:
        """Returns a layer's new memory, here only the new row from ``block``."""
        return new

    def prepare(self, params: Params) -> Params:
        """Masks the kernels, lists the layers, and splits the head by colour."""
        model, params = self.model, self.model.mask(as_dtypes(self.model, params, self.model.dtype))
        head, of_colours = params["head"], [colour_slices(model, colour)[2] for colour in range(model.channels)]
        heads = [head | {"logits": colour_block(head["logits"], model.head_width, part)} for part in of_colours]
        return params | {"layers": layers_of(params, model.layers)[1:], "head": heads}

    def first_rows(self, params: Params, batch: int, width: int) -> list[Any]:
        reach, _, inputs, _ = params["first"]["above"].shape
        first = jnp.zeros((batch, reach, width, inputs), self.model.dtype)
        return [first, *(self.border(layer, batch, width) for layer in params["layers"])]

    def open_row(self, params: Params, rows: list[Any], condition: Condition) -> tuple[list[Any], list[Any]]:
        condition, (first, *memories) = jax.tree.map(lambda x: x.astype(self.model.dtype), condition), rows
        layers = zip(params["layers"], memories, strict=True)
        above = [self.context_from_above(layer, memory, condition) for layer, memory in layers]
        return [vertical_conv_valid(params["first"]["above"], first), *above], rows

    def close_row(self, params: Params, rows: list[Any], above: list[Any], row: RowValues) -> list[Any]:
        """Passes a finished row through the network to cache it."""
        (first, *memories), inputs = rows, encode(self.model, params, row)
        _, _, new = self._pass(params, inputs, above, None)
        remembered = [self.remember(memory, x) for memory, x in zip(memories, new, strict=True)]
        return [jnp.concatenate([first, inputs], axis=1)[:, 1:], *remembered]

    def first_columns(self, params: Params, batch: int) -> list[Array]:
        shapes = [kernel.shape[:2] for kernel in self._kernels_left(params)]
        return [jnp.zeros((batch, 1, *shape), self.model.dtype) for shape in shapes]

    def open_pixel(self, params: Params, columns: list[Array], above: list[Any], column: Index) -> Pixel:
        column_above = jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, column, 1, axis=2), above)
        kernels = zip(self._kernels_left(params), columns, strict=True)
        return Pixel(column_above, [horizontal_conv_valid(kernel, memory) for kernel, memory in kernels], [])

    def read_colour(self, params: Params, state: Pixel, pixel: PixelValues, *, colour: int) -> tuple[Logits, Pixel]:
        features, read, _ = self._pass(params, encode(self.model, params, pixel), state.above, state.left)
        head = params["head"][colour]
        return as_logits(self.model, head_last(head, head_hidden(head, features))[:, 0, 0]), state._replace(read=read)

    def close_pixel(self, params: Params, columns: list[Array], state: Pixel, pixel: PixelValues) -> list[Array]:
        new = [encode(self.model, params, pixel), *state.read]
        return [jnp.concatenate([memory, x], axis=2)[:, :, 1:] for memory, x in zip(columns, new, strict=True)]

    def _kernels_left(self, params: Params) -> list[Array]:
        return [params["first"]["left"], *(self.taps_left(layer) for layer in params["layers"])]

    def _pass(
        self, params: Params, inputs: Features, above: list[Any], left: list[Array] | None
    ) -> tuple[Features, list[Array], list[Any]]:
        """Runs all layers on a pixel, or on a whole row if ``left`` is None.

        Returns the final channels, each layer's inputs, and new memory.
        """
        kernels = self._kernels_left(params)

        def product(index: int, x: Array) -> Array:
            return horizontal_conv(kernels[index], x) if left is None else left[index]

        x = convolve(params["first"], inputs, above[0] + product(0, inputs))
        reads, new = [], []
        for index, (layer, from_above) in enumerate(zip(params["layers"], above[1:], strict=True), start=1):
            reads.append(self.read(layer, x, from_above))
            added, seen = self.block(layer, reads[-1], from_above, product(index, reads[-1]))
            new.append(seen)
            x = x + added
        return x, reads, new
