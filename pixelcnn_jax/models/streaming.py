"""A network advanced by one row, one pixel, one colour: all that sampling and coding need.

Streams call the functions of training with remembered rows and columns in place of the zero border. ``Cache`` is a
stream together with what it remembers. ``start`` and ``conditional`` walk through images one sub-pixel at a time, for
programs that choose the values themselves.
"""

import dataclasses
from functools import partial
from typing import Any, Protocol, cast, runtime_checkable

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Integer

from pixelcnn_jax.distributions import promoted
from pixelcnn_jax.models.autoregressive import Network
from pixelcnn_jax.models.conditioning.conditional import apply_conditioner
from pixelcnn_jax.models.inputs import Condition, Given, Map, Variables, params_of
from pixelcnn_jax.models.parameters import Params


@runtime_checkable
class Stream(Protocol):
    """The steps that advance a network from its memory. They are pure functions; the object is hashable.

    An image is read as: ``first_rows``; for each row ``open_row``, its pixels, ``close_row``. A row is read as:
    ``first_columns``; for each pixel ``open_pixel``, ``read_colour`` for each colour, ``close_pixel``. The trees that
    pass between the steps are the stream's own.
    """

    @property
    def model(self) -> Network:
        """The network."""

    def prepare(self, params: Params) -> Params:
        """Returns the parameters as the other steps read them."""

    def first_rows(self, params: Params, batch: int, width: int) -> Any:
        """Returns the memory of the rows above the image."""

    def open_row(self, params: Params, rows: Any, condition: Condition) -> tuple[Any, Any]:
        """Returns every layer's context from above in the next row, and the memory; ``condition.s`` is that row's."""

    def close_row(self, params: Params, rows: Any, above: Any, row: Int[Array, "batch 1 width channels"]) -> Any:
        """Returns the memory with a finished row."""

    def first_columns(self, params: Params, batch: int) -> Any:
        """Returns the memory of the columns left of the image."""

    def open_pixel(self, params: Params, columns: Any, above: Any, column: Int[Array, ""] | int) -> Any:
        """Returns what every layer knows at a pixel from above and from the left: arrays, alike at every pixel."""

    def read_colour(
        self, params: Params, known: Any, pixel: Int[Array, "batch 1 1 channels"], *, colour: int
    ) -> tuple[Float[Array, "batch levels"], Any]:
        """Returns the logits of a colour, given the colours before it in ``pixel``, and the updated ``known``."""

    def close_pixel(self, params: Params, columns: Any, known: Any, pixel: Int[Array, "batch 1 1 channels"]) -> Any:
        """Returns the memory with a finished pixel; the oldest column is dropped."""


class Cache(flax.struct.PyTreeNode):
    """Partly read or drawn images, as a pytree: a stream and its memory.

    The steps are ``open_row``; for each pixel ``open_pixel``, for each colour ``read`` and ``write``, ``close_pixel``;
    ``close_row``. Between rows, the attributes ``row``, ``above`` and ``columns`` are None, and ``known`` is empty.

    Attributes:
      stream: the steps of the network.
      params: its parameters, as the stream prepared them.
      condition: h and s of the images.
      rows: the memory of the rows above.
      row: the current row of the images, as far as it has been written.
      above: what every layer sees from above in this row.
      columns: the memory of the columns left of the current pixel.
      known: the stream's state at this pixel: before its first colour, and after each.
      site: number of sub-pixels that ``conditional`` has passed.
    """

    stream: Stream = flax.struct.field(pytree_node=False)
    params: Params
    condition: Condition
    rows: Any
    row: Any = None
    above: Any = None
    columns: Any = None
    known: tuple[Any, ...] = ()
    site: Any = None

    def open_row(self, index: Int[Array, ""] | int, row: Int[Array, "batch 1 width channels"]) -> "Cache":
        """Begins a row; what ``row`` holds is overwritten before it is read."""
        s = self.condition.s
        of_row = self.condition._replace(s=None if s is None else jax.lax.dynamic_slice_in_dim(s, index, 1, axis=1))
        above, rows = self.stream.open_row(self.params, self.rows, of_row)
        columns = self.stream.first_columns(self.params, len(row))
        return self.replace(rows=rows, row=row, above=above, columns=columns)

    def close_row(self) -> "Cache":
        """Remembers the finished row."""
        rows = self.stream.close_row(self.params, self.rows, self.above, self.row)
        return self.replace(rows=rows, row=None, above=None, columns=None, known=())

    def open_pixel(self, column: Int[Array, ""] | int) -> "Cache":
        """Begins a pixel."""
        return self.replace(known=(self.stream.open_pixel(self.params, self.columns, self.above, column),))

    def read(self, column: Int[Array, ""] | int, colour: int) -> tuple[Float[Array, "batch levels"], "Cache"]:
        """Returns the logits of a colour, given what was written before it."""
        before, after = self.known[: colour + 1], self.known[colour + 2 :]
        logits, new = self.stream.read_colour(self.params, before[-1], self._pixel(column), colour=colour)
        return logits, self.replace(known=(*before, new, *after))

    def write(self, place: Int[Array, ""] | int, values: Integer[Array, " batch"]) -> "Cache":
        """Sets a sub-pixel of the row, counted from its first."""
        flat, new = self.row.reshape(len(self.row), -1), values.astype(self.row.dtype)[:, None]
        flat = jax.lax.dynamic_update_slice_in_dim(flat, new, place, axis=1)
        return self.replace(row=flat.reshape(self.row.shape))

    def close_pixel(self, column: Int[Array, ""] | int) -> "Cache":
        """Remembers the finished pixel."""
        columns = self.stream.close_pixel(self.params, self.columns, self.known[-1], self._pixel(column))
        return self.replace(columns=columns, known=())

    def _pixel(self, column: Int[Array, ""] | int) -> Int[Array, "batch 1 1 channels"]:
        return jax.lax.dynamic_slice_in_dim(self.row, column, 1, axis=2)


@partial(jax.jit, static_argnames=("stream", "batch", "width"))
def begin(stream: Stream, params: Params, condition: Condition, *, batch: int, width: int) -> Cache:
    """Returns the cache before the first row."""
    params = stream.prepare(params)
    return Cache(stream, params, condition, stream.first_rows(params, batch, width))


def start(
    model: nn.Module, variables: Variables, *, shape: tuple[int, int, int], h: Given | None = None, s: Map | None = None
) -> Cache:
    """Returns the cache from which ``conditional`` reads images of this shape, before their first sub-pixel.

    Args:
      model: a model with a stream of its own (``stream_of``).
      variables: its variables.
      shape: batch, height and width.
      h, s: as ``sample`` takes them.
    """
    network, variables, condition = apply_conditioner(model, variables, h, s, shape=shape)
    batch, _, width = shape
    cache = begin(cast(Stream, stream_of(network)), params_of(variables), condition, batch=batch, width=width)
    return _first_site(cache, batch, width)


@jax.jit
def conditional(cache: Cache, previous: Integer[Array, " batch"]) -> tuple[Float[Array, "batch levels"], Cache]:
    """Returns the log-probabilities of the next sub-pixel in raster order, colour within pixel, and the cache after it.

    Each call reads one sub-pixel, at the cost of one step of ``sample``. It can be the body of a ``lax.scan``.

    Args:
      cache: from ``start``, or from the call for the sub-pixel before.
      previous: the value of that sub-pixel; ignored at the first one.
    """
    width, channels = cache.row.shape[2:]
    place = cache.site % (width * channels)
    column, colour = jnp.divmod(place, channels)
    cache = cache.write((place - 1) % (width * channels), previous)
    stays, moves = (colour > 0) | (cache.site == 0), jnp.where(place > 0, 1, 2)
    cache = jax.lax.switch(jnp.where(stays, 0, moves), [lambda cache: cache, _next_pixel, _next_row], cache)
    reads = [partial(Cache.read, column=column, colour=colour) for colour in range(channels)]
    logits, cache = jax.lax.switch(colour, reads, cache)
    return jax.nn.log_softmax(promoted(logits)), cache.replace(site=cache.site + 1)


@partial(jax.jit, static_argnums=(1, 2))
def _first_site(cache: Cache, batch: int, width: int) -> Cache:
    """Opens the first pixel. Reads its colours too: a loop needs a cache whose arrays are all there."""
    channels = cache.stream.model.channels
    cache = cache.open_row(0, jnp.zeros((batch, 1, width, channels), jnp.int32)).open_pixel(0)
    for colour in range(channels):
        _, cache = cache.read(0, colour)
    return cache.replace(site=jnp.zeros((), jnp.int32))


def _next_pixel(cache: Cache) -> Cache:
    column = cache.site // cache.row.shape[3] % cache.row.shape[2]
    opened = cache.close_pixel(column - 1).open_pixel(column)
    return opened.replace(known=opened.known + cache.known[1:])


def _next_row(cache: Cache) -> Cache:
    row = cache.site // (cache.row.shape[2] * cache.row.shape[3])
    opened = cache.close_row().open_row(row, cache.row).open_pixel(0)
    return opened.replace(known=opened.known + cache.known[1:])


def stream_of(model: nn.Module) -> Stream | None:
    """Returns the stream of a model, or None if it has none. Without one, the network is run again for every sub-pixel.

    The model's method ``stream`` returns it. An inherited ``stream`` is ignored if a subclass of the class that defines
    it overrides another inherited method, for example ``forward``: the stream would still draw from the parent's
    network.
    """
    classes, fields = type(model).__mro__, {one.name for one in dataclasses.fields(model)}

    def methods(kind: type) -> set[str]:
        return {name for name, x in vars(kind).items() if callable(x) or isinstance(x, property)} - fields

    owner = next((one for one in classes if "stream" in methods(one)), None)
    if owner is None:
        return None
    later = set().union(*map(methods, classes[: classes.index(owner)]))
    changed = {name for name in later if hasattr(owner, name) and (name == "__call__" or not name.startswith("__"))}
    return None if changed else cast(Any, model).stream()
