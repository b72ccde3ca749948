"""Networks advanced by one row, pixel or colour, for sampling and coding."""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, cast, runtime_checkable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from pixelcnn_jax.foundation.devices import varying_as
from pixelcnn_jax.models.autoregressive import Network
from pixelcnn_jax.models.inputs import Condition, Index, Logits, PixelValues, RowValues
from pixelcnn_jax.models.parameters import Params

OnRow = Callable[[int], None]  # is given the index of each row that is finished


@runtime_checkable
class Stream(Protocol):
    """The steps by which a network is evaluated row by row, pixel by pixel and colour by colour.

    A colour is a channel of a pixel. The steps hand on two memories, which hold what was computed before: ``rows`` for
    the rows above, and ``columns`` for the columns to the left. ``sample``, decompression and ``models.conditionals``
    call the steps in this order (decompression calls ``read_outputs`` of its integer stream in place of
    ``read_colour``):

    - First: ``prepare`` and ``first_rows``.
    - For each row: ``open_row`` and ``first_columns``, then the steps of its pixels, then ``close_row``.
    - For each pixel: ``open_pixel``, then ``read_colour`` for each colour, then ``close_pixel``.

    All steps must be pure functions. A stream must be hashable, and equal streams must compute the same, because
    compiled functions take it as a static argument.
    """

    @property
    def model(self) -> Network:
        """The network that the stream evaluates."""

    def prepare(self, params: Params) -> Params:
        """Rearranges the parameters for the other steps, for example by masking and slicing kernels.

        Args:
          params: The parameters of the network.

        Returns:
          The ``params`` of all other steps.
        """

    def first_rows(self, params: Params, batch: int, width: int) -> Any:
        """Builds the memory of the rows above the first row of an image, usually zeros.

        Args:
          params: From ``prepare``.
          batch: Number of images.
          width: Width of the images.

        Returns:
          The ``rows`` of ``open_row``.
        """

    def open_row(self, params: Params, rows: Any, condition: Condition) -> tuple[Any, Any]:
        """Computes what the pixels of a row need from the rows above.

        Args:
          params: From ``prepare``.
          rows: The memory of the rows above.
          condition: h and s; s holds this row alone, [batch, 1, width, map_features].

        Returns:
          The context ``above``, for ``open_pixel``, and the new memory.
        """

    def close_row(self, params: Params, rows: Any, above: Any, row: RowValues) -> Any:
        """Appends a finished row to the memory of the rows.

        Args:
          params: From ``prepare``.
          rows: The memory, from ``open_row``.
          above: The context, from ``open_row``.
          row: The values of the row.

        Returns:
          The ``rows`` of the next ``open_row``, of the same shapes.
        """

    def first_columns(self, params: Params, batch: int) -> Any:
        """Builds the memory of the columns left of the first pixel of a row, usually zeros.

        Args:
          params: From ``prepare``.
          batch: Number of images.

        Returns:
          The ``columns`` of ``open_pixel``.
        """

    def open_pixel(self, params: Params, columns: Any, above: Any, column: Index) -> Any:
        """Computes what the colours of a pixel need from the pixels above and to the left.

        Args:
          params: From ``prepare``.
          columns: The memory of the columns to the left.
          above: The context of the row, from ``open_row``.
          column: Index of the pixel in its row.

        Returns:
          The ``state`` of the first ``read_colour``, of the same shapes at every pixel.
        """

    def read_colour(self, params: Params, state: Any, pixel: PixelValues, *, colour: int) -> tuple[Logits, Any]:
        """Computes the logits of one colour.

        Args:
          params: From ``prepare``.
          state: From ``open_pixel``, or from the ``read_colour`` of the colour before.
          pixel: The values of the pixel, of which the earlier colours may be read.
          colour: Index of the colour.

        Returns:
          The logits, and the state of the next colour.
        """

    def close_pixel(self, params: Params, columns: Any, state: Any, pixel: PixelValues) -> Any:
        """Appends a finished pixel to the memory of the columns, and drops the oldest one.

        Args:
          params: From ``prepare``.
          columns: The memory.
          state: From the last ``read_colour``.
          pixel: The values of the pixel.

        Returns:
          The ``columns`` of the next pixel, of the same shapes.
        """


def advance_row(
    stream: Stream,
    params: Params,
    condition: Condition,
    row: Array,
    state: Any,
    choose: Callable[[Any, Array, Array, Array, int], tuple[Array, Any]],
    width: Index,
    *,
    read: Callable[..., tuple[Array, Any]] | None = None,
    repeat: Callable[[Array], Array] = lambda x: x,
) -> tuple[Int[Array, "batch height width channels"], Any, Any]:
    """Fills a row of images sub-pixel by sub-pixel.

    Sampling and decoding share this loop. The loop opens a pixel one iteration before it reads the colours of this
    pixel.

    Args:
      stream: The stream of the network.
      params: The parameters as ``stream.prepare`` returned them.
      condition: h and s of the batch that the stream reads, after ``repeat``.
      row: The index of the row.
      state: The images, the memory above the row, and the first carry of ``choose``.
      choose: Chooses the value of a sub-pixel: maps carry, logits, old value, column and colour to the new value and
        the next carry.
      width: The number of columns to fill.
      read: A function to call in place of ``stream.read_colour``; None, the default, replaces nothing.
      repeat: Maps images to the batch that the stream reads, for example each image twice, for guidance.

    Returns:
      The images with the row filled, the memory above the next row, and the last carry.
    """
    images, rows, carry = state
    at_row = partial(jax.lax.dynamic_slice_in_dim, start_index=row, slice_size=1, axis=1)
    above, rows = stream.open_row(params, rows, condition._replace(s=jax.tree.map(at_row, condition.s)))

    def advance_pixel(column: Array, state: Any) -> Any:
        pixels, columns, pixel_state, carry = state
        pixel = jax.lax.dynamic_slice_in_dim(pixels, column, 1, axis=2)
        for colour in range(pixels.shape[3]):
            logits, pixel_state = (read or stream.read_colour)(params, pixel_state, repeat(pixel), colour=colour)
            values, carry = choose(carry, logits, pixel[:, 0, 0, colour], column, colour)
            pixel = pixel.at[:, 0, 0, colour].set(values)
        pixels = jax.lax.dynamic_update_slice_in_dim(pixels, pixel, column, axis=2)
        columns = stream.close_pixel(params, columns, pixel_state, repeat(pixel))
        # Opened an iteration early: else XLA on CPU fuses the slice of ``above`` into the gate, ten times slower.
        following = stream.open_pixel(params, columns, above, jnp.minimum(column + 1, width - 1))
        return pixels, columns, following, carry

    pixels = at_row(images)
    columns = varying_as(pixels, stream.first_columns(params, len(repeat(pixels))))
    begun = pixels, columns, stream.open_pixel(params, columns, above, 0), carry
    pixels, _, _, carry = jax.lax.fori_loop(0, width, advance_pixel, begun)
    rows = stream.close_row(params, rows, above, repeat(pixels))
    return jax.lax.dynamic_update_slice_in_dim(images, pixels, row, axis=1), rows, carry


@partial(jax.jit, static_argnames=("stream", "batch", "width"))
def first_rows(stream: Stream, params: Params, batch: int, width: int) -> Any:
    """Builds the memory above an image from unprepared parameters."""
    return stream.first_rows(stream.prepare(params), batch, width)


def stream_of(model: nn.Module) -> Stream | None:
    """Builds the stream of a model; None if its class does not define ``stream`` itself.

    A stream repeats the computation of one class. A subclass may compute something else, so it is sampled without a
    cache until it says which stream is its own: ``stream = GatedPixelCNN.stream`` keeps the inherited one.
    """
    return cast(Any, model).stream() if "stream" in vars(type(model)) else None
