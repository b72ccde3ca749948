"""Exact ancestral sampling, remembering what was computed, and the naive sampler that it must equal."""

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from pixelcnn_jax.devices import beside
from pixelcnn_jax.distributions import at_least_float32
from pixelcnn_jax.errors import InputError
from pixelcnn_jax.models.autoregressive import Network
from pixelcnn_jax.models.inputs import (
    Condition,
    Images,
    Map,
    Vector,
    apply,
    check_condition,
    check_finite,
    check_values,
    params_of,
)
from pixelcnn_jax.models.parameters import Params
from pixelcnn_jax.models.streaming import Stream, stream_of

REPORT_SECONDS = 0.02  # how often, at most, finished rows are reported

Mask = Bool[Array | np.ndarray, "#batch #height #width #channels"]


def sample(
    model: nn.Module,
    variables: Params,
    key: Key[Array, "..."],
    *,
    shape: tuple[int, int, int],
    h: Vector | None = None,
    s: Map | None = None,
    given: Images | None = None,
    mask: Mask | None = None,
    on_row: Callable[[int], None] | None = None,
) -> Int[Array, "batch height width channels"]:
    """Draws images from p(x | h, s), each sub-pixel once, at the cost of about one forward pass.

    Args:
      model: a model of this package; one without remembered steps is re-run as a whole, as ``naive_sample`` does.
      variables: its variables, from ``init`` or from training.
      key: one key, or one an image: images that share a key share their noise, and differ by h, s or given alone. Keys
        that are split over devices (``parallel.spread``) have each device draw its share of the images.
      shape: batch, height and width.
      h: the vector of each image, for a model made with one.
      s: the map of each image, for a model made with one.
      given: images whose pixels stay where ``mask`` is true.
      mask: true where a sub-pixel is given. Where what is given is a raster-order prefix (first rows, then part of a
        row), the rest is drawn from the exact conditional. For any other mask each pixel is drawn given all *before*
        it, sampled or given: an exact draw from the model's ordered conditionals, but blind to given pixels below.
      on_row: called with the index of each row that is finished, for a progress bar; not for a model that is re-run as
        a whole.

    Returns integers 0 to ``model.levels - 1``, int32. Raises InputError for what does not fit the model or the shape.
    """
    images, mask, condition, keys = _check(model, variables, key, shape, Condition(h, s), given, mask)
    (images, mask, condition), variables = beside(keys, (images, mask, condition), variables)
    steps = stream_of(model)
    if steps is None:
        return _sample_naively(model, variables, keys, images, mask, condition)
    batch, height, width, _ = images.shape
    params, rows = _prepare(model, steps, params_of(variables), batch, width)
    rows, params = beside(keys, rows, params)
    advance = partial(_sample_rows, model, steps, params, keys, mask, condition)
    if on_row is None:
        return advance(images, rows, 0, height)[0]
    row, count = 0, 1
    while row < height:
        began, end = time.monotonic(), min(row + count, height)
        images, rows = jax.block_until_ready(advance(images, rows, row, end))
        # Rows that take next to no time are advanced together: a call for each would slow them.
        count = max(1, int((end - row) * REPORT_SECONDS / max(1e-9, time.monotonic() - began)))
        for finished in range(row, end):
            on_row(finished)
        row = end
    return images


def naive_sample(
    model: nn.Module,
    variables: Params,
    key: Key[Array, "..."],
    *,
    shape: tuple[int, int, int],
    h: Vector | None = None,
    s: Map | None = None,
    given: Images | None = None,
    mask: Mask | None = None,
) -> Int[Array, "batch height width channels"]:
    """The same draw as ``sample`` from the same key, by running the whole network again for every sub-pixel.

    Takes, returns and refuses what ``sample`` does, for any module that maps images [batch, height, width, channels] to
    logits [batch, height, width, channels, levels]. What the cached sampler is held against, in float32: where the
    layers compute in fewer bits, the two round sums in other places, and some draws come out otherwise.
    """
    images, mask, condition, keys = _check(model, variables, key, shape, Condition(h, s), given, mask)
    return _sample_naively(model, variables, keys, images, mask, condition)


def noise(
    keys: Key[Array, " batch"], row: Int[Array, ""] | int, *, width: int, channels: int, levels: int
) -> Float[Array, "batch width channels groups_and_members"]:
    """The Gumbel noise by which ``draw`` draws the sub-pixels of one row.

    A function of the image's key and the row alone, so that samplers that visit pixels in another order, or images
    that share a key, see the same noise.
    """
    shape = (width, channels, sum(_square(levels)))
    return jax.vmap(lambda key: jax.random.gumbel(jax.random.fold_in(key, row), shape))(keys)


def draw(
    logits: Float[Array, "batch levels"], gumbel: Float[Array, "batch groups_and_members"]
) -> Int[Array, " batch"]:
    """A draw from the softmax of the logits: the argmax of logits plus Gumbel noise, taken in two exact steps.

    First a group of neighbouring levels by its total probability, then a level of the group. 256 levels take 32 random
    numbers so, not 256, which would cost more than a small network. A rounding error moves a draw as rarely as in one
    step; inverting the cumulative distribution takes a single number, but there it does so many times as often.
    """
    groups, members = _square(levels := logits.shape[-1])
    padded = jnp.pad(at_least_float32(logits), ((0, 0), (0, groups * members - levels)), constant_values=-jnp.inf)
    square = padded.reshape(-1, groups, members)
    shares = jnp.exp(square - jnp.max(square, axis=(1, 2), keepdims=True)).sum(axis=-1)
    group = jnp.argmax(jnp.log(shares) + gumbel[:, :groups], axis=-1)
    within = jnp.take_along_axis(square, group[:, None, None], axis=1)[:, 0]
    return group * members + jnp.argmax(within + gumbel[:, groups:], axis=-1)


def _square(levels: int) -> tuple[int, int]:
    """Into how many groups of how many members the levels are cut."""
    members = math.isqrt(levels - 1) + 1
    return -(-levels // members), members


@partial(jax.jit, static_argnames=("model", "steps", "batch", "width"))
def _prepare(model: nn.Module, steps: Stream, params: Params, batch: int, width: int) -> tuple[Params, Any]:
    params = steps.prepare(model, params)
    return params, steps.first_row(model, params, batch, width)


@partial(jax.jit, static_argnames=("model", "steps"), donate_argnames=("images", "rows"))
def _sample_rows(
    model: nn.Module,
    steps: Stream,
    params: Params,
    keys: Array,
    mask: Array,
    condition: Condition,
    images: Array,
    rows: Any,
    begin: Int[Array, ""] | int,
    end: Int[Array, ""] | int,
) -> tuple[Array, Any]:
    """Rows ``begin`` to ``end`` of the images, and what is remembered of them; compiled once for any number of rows."""
    batch, _, width, channels = images.shape

    def sample_row(row: Array, carry: Any) -> Any:
        images, rows = carry
        above = jax.lax.dynamic_slice_in_dim(images, row - 1, 1, axis=1)
        here = condition._replace(s=None if condition.s is None else _row(condition.s, row))
        crossings, rows = steps.read_row(model, params, rows, above, row > 0, here)
        given, stays = _row(images, row), _row(mask, row)
        gumbel = noise(keys, row, width=width, channels=channels, levels=model.levels)[:, None]

        def sample_pixel(column: Array, carry: Any) -> Any:
            finished, columns = carry
            pixel, fixed, random = (_column(x, column) for x in (given, stays, gumbel))
            known = steps.open_pixel(model, params, columns, crossings, column)
            for colour in range(channels):
                logits, known = steps.read_colour(model, params, known, pixel, colour=colour)
                drawn = draw(logits, random[:, 0, 0, colour]).astype(pixel.dtype)
                new = (np.arange(channels) == colour)[None, None, None] & ~fixed
                pixel = jnp.where(new, drawn[:, None, None, None], pixel)
            finished = jax.lax.dynamic_update_slice_in_dim(finished, pixel, column, axis=2)
            return finished, steps.close_pixel(model, params, columns, known, pixel)

        finished, _ = jax.lax.fori_loop(0, width, sample_pixel, (given, steps.first_column(model, params, batch)))
        return jax.lax.dynamic_update_slice_in_dim(images, finished, row, axis=1), rows

    return jax.lax.fori_loop(begin, end, sample_row, (images, rows))


@partial(jax.jit, static_argnames="model")
def _sample_naively(
    model: nn.Module, variables: Params, keys: Array, images: Array, mask: Array, condition: Condition
) -> Array:
    _, height, width, channels = images.shape

    def sample_row(row: Array, images: Array) -> Array:
        gumbel = noise(keys, row, width=width, channels=channels, levels=model.levels)

        def sample_subpixel(index: Array, images: Array) -> Array:
            column, colour = jnp.divmod(index, channels)
            logits = apply(model, variables, images, condition)
            at = (slice(None), row, column, colour)
            drawn = draw(logits[at], gumbel[:, column, colour]).astype(images.dtype)
            return images.at[at].set(jnp.where(mask[at], images[at], drawn))

        return jax.lax.fori_loop(0, width * channels, sample_subpixel, images)

    return jax.lax.fori_loop(0, height, sample_row, images)


def _row(x: Array | np.ndarray, row: Array) -> Array:
    return jax.lax.dynamic_slice_in_dim(x, row, 1, axis=1)


def _column(x: Array, column: Array) -> Array:
    return jax.lax.dynamic_slice_in_dim(x, column, 1, axis=2)


def _check(
    model: nn.Module,
    variables: Params,
    key: Array,
    shape: tuple[int, int, int],
    condition: Condition,
    given: Images | None,
    mask: Mask | None,
) -> tuple[Array, Array, Condition, Array]:
    """The arguments of a sampler as full arrays: images to fill in, a mask of what stays, the condition, a key each."""
    if len(shape) != 3 or min(shape) < 1:
        raise InputError(f"shape must be (batch, height, width), each at least 1, not {shape}.")
    full = (*shape, model.channels)
    check_finite(condition)
    condition = jax.tree.map(jnp.asarray, condition)
    if isinstance(model, Network):  # any other module says itself what it is told
        check_condition(params_of(variables), condition, full)
    if (given is None) != (mask is None):
        raise InputError("given and mask come together: the images to complete, and where they stay as they are.")
    if given is None or mask is None:
        images, mask = jnp.zeros(full, jnp.int32), jnp.zeros(full, bool)
    else:
        images, mask = _given(given, mask, full, model.levels)
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        raise InputError("key must be of the new style, jax.random.key(seed), not jax.random.PRNGKey.")
    if key.ndim == 0:
        keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(shape[0]))
    elif key.shape == shape[:1]:
        keys = key
    else:
        raise InputError(f"key must be one key or one for each of the {shape[0]} images, not of shape {key.shape}.")
    return images, mask, condition, keys


def _given(given: Images, mask: Mask, full: tuple[int, ...], levels: int) -> tuple[Array, Array]:
    if tuple(given.shape) != full:
        raise InputError(f"given must have shape {list(full)}, not {list(given.shape)}.")
    if not np.issubdtype(given.dtype, np.integer) or mask.dtype != bool:
        raise InputError(f"given must be integers and mask boolean, not {given.dtype} and {mask.dtype}.")
    try:
        mask = jnp.broadcast_to(mask, full)
    except ValueError:
        raise InputError(f"mask of shape {list(mask.shape)} does not broadcast to {list(full)}.") from None
    # In NumPy where it is NumPy's: JAX would cut an int64 to 32 bits before it is looked at.
    where = jnp.where if isinstance(given, jax.Array) or isinstance(mask, jax.core.Tracer) else np.where
    check_values(where(mask, given, 0), levels)
    # What is not given is overwritten before it is read; zero keeps stray values out of an embedding's table.
    return jnp.where(mask, given, 0).astype(jnp.int32), mask
