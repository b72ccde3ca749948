"""The conditionals of a network, one sub-pixel at a time."""

from functools import partial
from typing import Any

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Integer

from pixelcnn_jax.distributions import promoted
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.conditioning.conditional_model import apply_conditioner
from pixelcnn_jax.models.inputs import Condition, ConditionLike, Map, Variables, params_of
from pixelcnn_jax.models.parameters import Params
from pixelcnn_jax.models.streaming import Stream, stream_of


class Cache(flax.struct.PyTreeNode):
    """A stream with its memory, as a pytree, for sampling one sub-pixel at a time.

    Call ``open_row`` at the start of a row and ``open_pixel`` at the start of a pixel, ``read`` and ``write`` for each
    colour, then ``close_pixel``, and ``close_row`` at the end of the row.
    """

    stream: Stream = flax.struct.field(pytree_node=False)
    params: Params
    condition: Condition
    rows: Any
    row: Any = None
    above: Any = None
    columns: Any = None
    state: tuple[Any, ...] = ()
    site: Any = None

    def open_row(self, index: Int[Array, ""] | int, row: Int[Array, "batch 1 width channels"]) -> "Cache":
        """Begins a row, whose values are written later."""
        s = self.condition.s
        of_row = self.condition._replace(s=None if s is None else jax.lax.dynamic_slice_in_dim(s, index, 1, axis=1))
        above, rows = self.stream.open_row(self.params, self.rows, of_row)
        columns = self.stream.first_columns(self.params, len(row))
        return self.replace(rows=rows, row=row, above=above, columns=columns)

    def close_row(self) -> "Cache":
        rows = self.stream.close_row(self.params, self.rows, self.above, self.row)
        return self.replace(rows=rows, row=None, above=None, columns=None, state=())

    def open_pixel(self, column: Int[Array, ""] | int) -> "Cache":
        return self.replace(state=(self.stream.open_pixel(self.params, self.columns, self.above, column),))

    def read(self, column: Int[Array, ""] | int, colour: int) -> tuple[Float[Array, "batch levels"], "Cache"]:
        """Computes the logits of a colour from those written before."""
        before, after = self.state[: colour + 1], self.state[colour + 2 :]
        logits, new = self.stream.read_colour(self.params, before[-1], self._pixel(column), colour=colour)
        return logits, self.replace(state=(*before, new, *after))

    def write(self, place: Int[Array, ""] | int, values: Integer[Array, " batch"]) -> "Cache":
        """Sets sub-pixel ``place`` of the row."""
        flat, new = self.row.reshape(len(self.row), -1), values.astype(self.row.dtype)[:, None]
        flat = jax.lax.dynamic_update_slice_in_dim(flat, new, place, axis=1)
        return self.replace(row=flat.reshape(self.row.shape))

    def close_pixel(self, column: Int[Array, ""] | int) -> "Cache":
        columns = self.stream.close_pixel(self.params, self.columns, self.state[-1], self._pixel(column))
        return self.replace(columns=columns, state=())

    def _pixel(self, column: Int[Array, ""] | int) -> Int[Array, "batch 1 1 channels"]:
        return jax.lax.dynamic_slice_in_dim(self.row, column, 1, axis=2)


def init_cache(
    model: nn.Module,
    variables: Variables,
    *,
    shape: tuple[int, int, int],
    h: ConditionLike | None = None,
    s: Map | None = None,
) -> Cache:
    """Builds the cache for ``next_conditional``, before the first sub-pixel.

    Args:
      model: A network with a ``Stream``, or a ``ConditionalModel`` of one.
      variables: Its variables.
      shape: Number of images, height and width.
      h: As in ``sample``.
      s: As in ``sample``.

    Returns:
      The cache.

    Raises:
      InputError: If the network has no stream, or h or s do not fit it.
    """
    network, variables, condition = apply_conditioner(model, variables, h, s, shape=shape)
    batch, _, width = shape
    if (stream := stream_of(network)) is None:
        raise InputError(f"model must have a stream, for cached sampling, got {type(network).__name__}.")
    return _first_site(stream, params_of(variables), condition, batch, width)


@jax.jit
def next_conditional(cache: Cache, previous: Integer[Array, " batch"]) -> tuple[Float[Array, "batch levels"], Cache]:
    """Computes the conditional distribution of the next sub-pixel, in raster order, given all before it.

    Args:
      cache: From ``init_cache``, or from the call before.
      previous: The values that were chosen for the sub-pixel of the call before, of shape [batch]; not used at the
        first.

    Returns:
      Log-probabilities in nats of all levels, of shape [batch, levels], and the cache for the next call.
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


@partial(jax.jit, static_argnames=("stream", "batch", "width"))
def _first_site(stream: Stream, params: Params, condition: Condition, batch: int, width: int) -> Cache:
    channels, params = stream.model.channels, stream.prepare(params)
    cache = Cache(stream, params, condition, stream.first_rows(params, batch, width))
    cache = cache.open_row(0, jnp.zeros((batch, 1, width, channels), jnp.int32)).open_pixel(0)
    for colour in range(channels):  # a loop needs the full structure of the cache
        _, cache = cache.read(0, colour)
    return cache.replace(site=jnp.zeros((), jnp.int32))


def _next_pixel(cache: Cache) -> Cache:
    column = cache.site // cache.row.shape[3] % cache.row.shape[2]
    opened = cache.close_pixel(column - 1).open_pixel(column)
    return opened.replace(state=opened.state + cache.state[1:])


def _next_row(cache: Cache) -> Cache:
    row = cache.site // (cache.row.shape[2] * cache.row.shape[3])
    opened = cache.close_row().open_row(row, cache.row).open_pixel(0)
    return opened.replace(state=opened.state + cache.state[1:])
