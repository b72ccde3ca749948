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
    """What a stream has computed for the sub-pixels so far, as a pytree whose shapes never change.

    Most fields are arguments or results of the methods of ``pixelcnn_jax.models.streaming.Stream``.

    Attributes:
      stream: The stream.
      params: Its parameters, from ``prepare``.
      condition: h and s of the whole images.
      row: The values of the current row so far.
      rows: The memory of the rows above.
      above: The context of the current row.
      columns: The memory of the columns to the left.
      states: What the stream has computed for the current pixel: a state before its first colour and one after each.
      site: Index of the next sub-pixel.
    """

    stream: Stream = flax.struct.field(pytree_node=False)
    params: Params
    condition: Condition
    row: Int[Array, "batch 1 width channels"]
    rows: Any
    above: Any = None
    columns: Any = None
    states: tuple[Any, ...] = ()
    site: Any = None


def init_cache(
    model: nn.Module,
    variables: Variables,
    *,
    shape: tuple[int, int, int],
    h: ConditionLike | None = None,
    s: Map | None = None,
) -> Cache:
    """Builds the cache for ``next_conditional``, before the first sub-pixel.

    With these two functions, you choose the value of each sub-pixel (one channel of one pixel) yourself, for example in
    a search, where ``sample`` would draw it.

    Args:
      model: A network with a ``Stream``, or a ``ConditionalModel`` of one.
      variables: Its variables.
      shape: Number of images, height and width.
      h: As in ``pixelcnn_jax.sample``.
      s: As in ``pixelcnn_jax.sample``.

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
      previous: The values that you chose for the previous sub-pixel, of shape [batch]; at the first call, any integers,
        such as zeros.

    Returns:
      Log-probabilities in nats of all levels, of shape [batch, levels], and the cache for the next call. After the last
      sub-pixel, the results mean nothing.
    """
    width, channels = cache.row.shape[2:]
    place = cache.site % (width * channels)
    column, colour = jnp.divmod(place, channels)
    flat = cache.row.reshape(len(cache.row), -1)
    new = jnp.broadcast_to(previous, len(flat)).astype(cache.row.dtype)[:, None]
    flat = jax.lax.dynamic_update_slice_in_dim(flat, new, (place - 1) % (width * channels), axis=1)
    cache = cache.replace(row=flat.reshape(cache.row.shape))
    is_same_pixel = (colour > 0) | (cache.site == 0)
    branch = jnp.where(is_same_pixel, 0, jnp.where(place > 0, 1, 2))
    cache = jax.lax.switch(branch, [lambda cache: cache, _next_pixel, _next_row], cache)
    logits, cache = jax.lax.switch(colour, [partial(_read, colour=x) for x in range(channels)], cache, column)
    return jax.nn.log_softmax(promoted(logits)), cache.replace(site=cache.site + 1)


@partial(jax.jit, static_argnames=("stream", "batch", "width"))
def _first_site(stream: Stream, params: Params, condition: Condition, batch: int, width: int) -> Cache:
    channels, params = stream.model.channels, stream.prepare(params)
    row = jnp.zeros((batch, 1, width, channels), jnp.int32)
    cache = _open_row(Cache(stream, params, condition, row, stream.first_rows(params, batch, width)), 0)
    for colour in range(channels):  # a loop needs the full structure of the cache
        _, cache = _read(cache, 0, colour=colour)
    return cache.replace(site=jnp.zeros((), jnp.int32))


def _open_row(cache: Cache, index: Int[Array, ""] | int) -> Cache:
    s = jax.tree.map(lambda s: jax.lax.dynamic_slice_in_dim(s, index, 1, axis=1), cache.condition.s)
    above, rows = cache.stream.open_row(cache.params, cache.rows, cache.condition._replace(s=s))
    columns = cache.stream.first_columns(cache.params, len(cache.row))
    return _open_pixel(cache.replace(rows=rows, above=above, columns=columns), 0)


def _open_pixel(cache: Cache, column: Int[Array, ""] | int) -> Cache:
    opened = cache.stream.open_pixel(cache.params, cache.columns, cache.above, column)
    return cache.replace(states=(opened, *cache.states[1:]))


def _read(cache: Cache, column: Int[Array, ""] | int, *, colour: int) -> tuple[Float[Array, "batch levels"], Cache]:
    before, after = cache.states[: colour + 1], cache.states[colour + 2 :]
    logits, new = cache.stream.read_colour(cache.params, before[-1], _pixel(cache, column), colour=colour)
    return logits, cache.replace(states=(*before, new, *after))


def _pixel(cache: Cache, column: Int[Array, ""] | int) -> Int[Array, "batch 1 1 channels"]:
    return jax.lax.dynamic_slice_in_dim(cache.row, column, 1, axis=2)


def _next_pixel(cache: Cache) -> Cache:
    column = cache.site // cache.row.shape[3] % cache.row.shape[2]
    pixel = _pixel(cache, column - 1)
    columns = cache.stream.close_pixel(cache.params, cache.columns, cache.states[-1], pixel)
    return _open_pixel(cache.replace(columns=columns), column)


def _next_row(cache: Cache) -> Cache:
    rows = cache.stream.close_row(cache.params, cache.rows, cache.above, cache.row)
    return _open_row(cache.replace(rows=rows), cache.site // (cache.row.shape[2] * cache.row.shape[3]))
