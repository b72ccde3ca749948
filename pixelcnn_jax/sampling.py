"""Exact ancestral sampling: cached, and the naive sampler that it must equal."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from pixelcnn_jax.distributions import draw, log_probs_of, noise
from pixelcnn_jax.foundation.devices import match_sharding
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.conditioning.conditional import apply_conditioner, unconditional
from pixelcnn_jax.models.conditioning.guidance import Adjustment, Scalar, interleave, make_adjustment
from pixelcnn_jax.models.inputs import (
    Condition,
    Given,
    GivenImages,
    Map,
    RandomKeys,
    Variables,
    apply,
    as_array,
    as_images,
    params_of,
)
from pixelcnn_jax.models.parameters import Params
from pixelcnn_jax.models.streaming import Cache, Stream, stream_of

REPORT_SECONDS = 0.02  # shortest time between two reports of finished rows

Mask = Bool[Array | np.ndarray, "#batch #height #width #channels"]


def sample(
    model: nn.Module,
    variables: Variables,
    key: RandomKeys,
    *,
    shape: tuple[int, int, int],
    h: Given | None = None,
    s: Map | None = None,
    given: GivenImages | None = None,
    mask: Mask | None = None,
    temperature: Scalar = 1.0,
    guidance: Scalar = 0.0,
    on_row: Callable[[int], None] | None = None,
) -> Int[Array, "batch height width channels"]:
    """Draws images from p(x | h, s). The whole costs about as much as one forward pass.

    Args:
      model: a module that maps images to logits, or a ``ConditionalModel``. Without a stream of its own
        (``models.streaming.stream_of``) it is run again for every sub-pixel, as ``naive_sample`` does.
      variables: its variables, from ``init`` or from training.
      key: one key or one per image: images with equal keys share their noise, and differ only by h, s or given. With
        keys sharded over devices (``devices.shard``) each device draws its share of the images.
      shape: batch, height and width.
      h: vectors [batch, condition], or class labels [batch] in place of one-hot vectors, for a model made with one.
      s: maps [batch, height, width, map_features], for a model made with one.
      given: images whose sub-pixels are kept where ``mask`` is true.
      mask: true where a sub-pixel is given. If those are a raster-order prefix (rows, then part of a row), the rest is
        drawn from the exact conditional. For any other mask each pixel is drawn given all pixels *before* it, sampled
        or given: an exact draw from the model's ordered conditionals, which ignores given pixels further down.
      temperature: divides the logits of each sub-pixel. Below 1, likely values are drawn more often.
      guidance: the weight w of classifier-free guidance (Ho and Salimans 2022). Images are drawn from (1 + w) times the
        conditional minus w times the unconditional logits, renormalised for each sub-pixel. The model must be trained
        with ``drop_condition``. The unconditional logits are those given zeros, or given what the conditioner's
        ``null_condition(h)`` returns. Doubles the cost.
      on_row: called with the index of each finished row, for a progress bar; ignored for a model without a stream.

    Returns:
      Integers 0 to ``model.levels - 1``, int32.

    Raises:
      InputError: for arguments that do not fit the model or the shape. Guidance is not refused for a model trained
        without ``drop_condition``: the variables do not record it. `pixelcnn sample` reads it from the card.
    """
    prepared = _prepared(
        model, variables, key, shape=shape, h=h, s=s, given=given, mask=mask, temperature=temperature, guidance=guidance
    )
    return _checked(_sample(*prepared, on_row=on_row)).images


def sample_and_log_prob(
    model: nn.Module,
    variables: Variables,
    key: RandomKeys,
    *,
    on_row: Callable[[int], None] | None = None,
    **arguments: Any,
) -> tuple[Int[Array, "batch height width channels"], Float[Array, " batch"]]:
    """Draws the images that ``sample`` draws, and computes the log-probability of each in the same pass.

    Takes and raises the same as ``sample``.

    Returns:
      The images, and the log-probability of the sub-pixels that were drawn, in nats per image. It is that of the
      distribution they were drawn from: with ``temperature`` and ``guidance``, conditional on the given sub-pixels.
    """
    network, weights, adjustment, inputs, drawn = _prepared(model, variables, key, **arguments)
    drawn = drawn._replace(log_probs=jnp.zeros(len(drawn.images)))
    drawn = _checked(_sample(network, weights, adjustment, inputs, drawn, on_row=on_row))
    is_drawn = (drawn.images >= 0).all(axis=(1, 2, 3))
    return drawn.images, jnp.where(is_drawn, cast(Array, drawn.log_probs), jnp.nan)


class Drawn(NamedTuple):
    """Partly drawn images, and the log-probability of the sub-pixels drawn so far in each; None if not requested."""

    images: Int[Array, "batch height width channels"]
    log_probs: Float[Array, " batch"] | None

    def add(
        self, logits: Float[Array, "batch levels"], values: Int[Array, " batch"], kept: Bool[Array, " batch"]
    ) -> Float[Array, " batch"] | None:
        """Returns the log-probabilities with those of one sub-pixel of each image, where it was not given."""
        if self.log_probs is None:
            return None
        return self.log_probs + jnp.where(kept, 0.0, log_probs_of(logits, values))


class SamplerInputs(NamedTuple):
    """Inputs of the samplers for each image: its key, the mask of kept sub-pixels, and its condition in each pass."""

    keys: Key[Array, " batch"]
    mask: Bool[Array, "batch height width channels"]
    condition: Condition


def _sample(
    model: nn.Module,
    variables: Variables,
    adjustment: Adjustment,
    inputs: SamplerInputs,
    drawn: Drawn,
    *,
    on_row: Callable[[int], None] | None,
) -> Drawn:
    """Draws by the cached sampler where the model has one."""
    (drawn, inputs), variables = match_sharding(inputs.keys, (drawn, inputs), variables)
    stream = stream_of(model)
    if stream is None:
        return _sample_naively(model, variables, adjustment, inputs, drawn)
    batch, height, width, _ = drawn.images.shape
    params = params_of(variables)
    rows, _ = match_sharding(inputs.keys, _first_rows(stream, params, (batch * adjustment.passes, width)), None)
    advance = partial(_sample_rows, stream, params, adjustment, inputs)
    if on_row is None:
        return advance(drawn, rows, 0, height)[0]
    row, count = 0, 1
    while row < height:
        began, end = time.monotonic(), min(row + count, height)
        drawn, rows = jax.block_until_ready(advance(drawn, rows, row, end))
        # Fast rows are advanced together: one call for each would slow them down.
        count = max(1, int((end - row) * REPORT_SECONDS / max(1e-9, time.monotonic() - began)))
        for finished in range(row, end):
            on_row(finished)
        row = end
    return drawn


def naive_sample(
    model: nn.Module, variables: Variables, key: RandomKeys, **arguments: Any
) -> Int[Array, "batch height width channels"]:
    """Draws what ``sample`` draws from the same key, by running the whole network again for every sub-pixel.

    Takes, returns and raises the same as ``sample``. It is the reference for the cached sampler in float32; in half
    precision the two round sums differently, and some draws differ.
    """
    return _checked(_sample_naively(*_prepared(model, variables, key, **arguments))).images


def _checked(drawn: Drawn) -> Drawn:
    """Raises InputError for sub-pixels that could not be drawn. Traced ones are not checked."""
    if not isinstance(drawn.images, jax.core.Tracer) and drawn.images.size and int(drawn.images.min()) < 0:
        raise InputError("The logits are NaN or infinite: the parameters have diverged, or h or s is too large.")
    return drawn


@partial(jax.jit, static_argnames=("stream", "size"))
def _first_rows(stream: Stream, params: Params, size: tuple[int, int]) -> Any:
    """Returns the memory of the rows above images of a batch and a width."""
    return stream.first_rows(stream.prepare(params), *size)


@partial(jax.jit, static_argnames="stream")
def _sample_rows(
    stream: Stream,
    params: Params,
    adjustment: Adjustment,
    inputs: SamplerInputs,
    drawn: Drawn,
    rows: Any,
    first: Int[Array, ""] | int,
    stop: Int[Array, ""] | int,
) -> tuple[Drawn, Any]:
    """Draws rows ``first`` to ``stop - 1`` of the images. Compiled once for any number of rows.

    Returns them and the memory of the rows. The parameters are prepared in every call, which takes less time than to
    return them and pass them to the next.
    """
    _, _, width, channels = drawn.images.shape
    cache = Cache(stream, stream.prepare(params), inputs.condition, rows)

    def sample_row(row: Array, carry: Any) -> Any:
        (images, log_probs), cache = carry
        given, stays = (jax.lax.dynamic_slice_in_dim(x, row, 1, axis=1) for x in (images, inputs.mask))
        gumbel = noise(inputs.keys, row, width=width, channels=channels, levels=stream.model.levels)[:, None]

        def sample_pixel(column: Array, carry: Any) -> Any:
            drawn, cache = carry
            at = partial(jax.lax.dynamic_slice_in_dim, start_index=column, slice_size=1, axis=2)
            pixel, fixed, random = (at(x)[:, 0, 0] for x in (given, stays, gumbel))
            for colour in range(channels):
                logits, cache = cache.read(column, colour)
                logits, kept = adjustment.logits(logits), fixed[:, colour]
                values = draw(logits, random[:, colour]).astype(pixel.dtype)
                drawn = drawn._replace(log_probs=drawn.add(logits, values, kept))
                values = jnp.where(kept, pixel[:, colour], values)
                cache = cache.write(column * channels + colour, adjustment.repeat(values))
            # The next pixel is opened here, so that its contexts are carried into the next iteration. A gate that reads
            # them from their place in the row is one kernel with that lookup, which XLA's CPU compiler runs number by
            # number, ten times as slow.
            return drawn, cache.close_pixel(column).open_pixel(jnp.minimum(column + 1, width - 1))

        cache = cache.open_row(row, adjustment.repeat(given)).open_pixel(0)
        drawn, cache = jax.lax.fori_loop(0, width, sample_pixel, (Drawn(images, log_probs), cache))
        finished = cache.row[:: adjustment.passes]
        images = jax.lax.dynamic_update_slice_in_dim(images, finished, row, axis=1)
        return drawn._replace(images=images), cache.close_row()

    drawn, cache = jax.lax.fori_loop(first, stop, sample_row, (drawn, cache))
    return drawn, cache.rows


@partial(jax.jit, static_argnames="model")
def _sample_naively(
    model: nn.Module, variables: Variables, adjustment: Adjustment, inputs: SamplerInputs, drawn: Drawn
) -> Drawn:
    keys, mask, condition = inputs
    _, height, width, channels = drawn.images.shape

    def sample_row(row: Array, drawn: Drawn) -> Drawn:
        gumbel = noise(keys, row, width=width, channels=channels, levels=model.levels)

        def sample_subpixel(index: Array, drawn: Drawn) -> Drawn:
            column, colour = jnp.divmod(index, channels)
            at, images = (slice(None), row, column, colour), drawn.images
            logits = adjustment.logits(apply(model, variables, adjustment.repeat(images), condition)[at])
            values = draw(logits, gumbel[:, column, colour]).astype(images.dtype)
            return Drawn(
                images.at[at].set(jnp.where(mask[at], images[at], values)), drawn.add(logits, values, mask[at])
            )

        return jax.lax.fori_loop(0, width * channels, sample_subpixel, drawn)

    return jax.lax.fori_loop(0, height, sample_row, drawn)


def _prepared(
    model: nn.Module,
    variables: Variables,
    key: Array,
    *,
    shape: tuple[int, int, int],
    h: Given | None = None,
    s: Map | None = None,
    given: GivenImages | None = None,
    mask: Mask | None = None,
    temperature: Scalar = 1.0,
    guidance: Scalar = 0.0,
) -> tuple[nn.Module, Variables, Adjustment, SamplerInputs, Drawn]:
    """Makes the arguments of ``_sample``."""
    adjustment = make_adjustment(temperature, guidance)
    network, weights, condition = apply_conditioner(model, variables, h, s, shape=shape)
    if adjustment.guidance is not None:
        condition = interleave(condition, unconditional(model, variables, h, condition))
    full, levels = (*shape, network.channels), network.levels
    if given is None and mask is None:
        given, mask = np.zeros(full, np.int32), np.zeros(full, bool)
    # Values that are not given are overwritten before they are read. Zeros keep them out of an embedding's table.
    images = as_images(given, channels=full[-1], levels=levels, name="given", mask=as_array(mask))
    images = jnp.broadcast_to(jnp.asarray(images, jnp.int32), full)
    images = jnp.where((images >= 0) & (images < levels), images, -1)
    key = jax.random.key_data(key)
    if key.ndim > 1 and len(key) != shape[0]:
        raise InputError(f"key must be one key or one for each of the {shape[0]} images, got {len(key)} keys.")
    # Under vmap, keys of any other implementation draw all their numbers from the first of them.
    key = jax.random.wrap_key_data(key[..., :2], impl="threefry2x32")
    keys = key if key.ndim else jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(shape[0]))
    inputs = SamplerInputs(keys, jnp.broadcast_to(jnp.asarray(mask, bool), full), condition)
    return network, weights, adjustment, inputs, Drawn(images, None)
