"""Exact ancestral sampling: with a cache, and a slow version without one to check it against."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Key

from pixelcnn_jax.distributions import gumbel_max, gumbel_noise, log_probs_of
from pixelcnn_jax.foundation.devices import match_sharding, varying_as
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.checks import NOT_FINITE, as_images, as_mask, logits_of
from pixelcnn_jax.models.conditioning.conditional_model import apply_conditioner, make_null_condition
from pixelcnn_jax.models.inputs import Condition, ConditionLike, ImagesLike, Map, RandomKeys, Variables, params_of
from pixelcnn_jax.models.parameters import Params
from pixelcnn_jax.models.streaming import OnRow, Stream, advance_row, first_rows, stream_of
from pixelcnn_jax.models.temperature_and_guidance import Adjustment, Scalar, interleave, make_adjustment

Mask = Bool[Array | np.ndarray, "#batch #height #width #channels"]


def sample(
    model: nn.Module,
    variables: Variables,
    key: RandomKeys,
    *,
    shape: tuple[int, int, int],
    h: ConditionLike | None = None,
    s: Map | None = None,
    observed: ImagesLike | None = None,
    mask: Mask | None = None,
    temperature: Scalar = 1.0,
    guidance: Scalar = 0.0,
    on_row: OnRow | None = None,
) -> Int[Array, "batch height width channels"]:
    """Draws images from p(x | h, s).

    By default, the samples follow this distribution exactly. ``temperature`` and ``guidance`` change the distribution,
    and completions of ``observed`` images are exact only for some masks (see ``mask``).

    Drawing a batch from a ``GatedPixelCNN`` takes about as much arithmetic as one forward pass, because what was
    computed for earlier pixels is kept (Ramachandran et al. 2017). This needs a ``models.streaming.Stream``, which
    computes the network pixel by pixel. All networks of this package but ``DiagonalBiLSTM`` have one. For a module
    without one, every sub-pixel (one channel of one pixel) takes a complete forward pass, as in ``naive_sample``.

    Args:
      model: A network of this package, a ``ConditionalModel``, or any Linen module that maps images to logits and has
        the fields ``levels`` and ``channels``.
      variables: Its variables, as from ``model.init``, ``fit`` or ``load_pretrained``.
      key: One PRNG key, or a key per image. With one key, the random numbers of an image (its noise) depend on this key
        and on the place of the image in the batch. With a key per image, they depend on its key alone, so images with
        equal keys get equal noise in any batch. If the keys are spread over several devices (sharded), so is the batch.
      shape: Number of images, height and width.
      h: The condition, one row per image: vectors [batch, condition] or class labels [batch]. Pass labels as integers,
        which are converted to one-hot vectors for a network of this package; your own network gets them as int32. For a
        ``ConditionalModel``, pass what its conditioner reads. None for a model without a condition.
      s: Maps [batch, height, width, map_features]; None for a model without maps.
      observed: Images to complete, [batch, height, width, channels], or one for the whole batch, [1, height, width,
        channels]. Sub-pixels are kept where ``mask`` is true, and drawn elsewhere. Pass both ``observed`` and ``mask``,
        or neither.
      mask: A bool array [batch, height, width, channels], true at observed sub-pixels. An axis of length 1 is
        broadcast. If the observed pixels come first in raster order (row by row from the top, each from left to right),
        the samples follow p(rest | observed) exactly, unless ``temperature`` or ``guidance`` is set. With other masks,
        they are approximate, because an observed pixel influences only the pixels after it.
      temperature: Divisor of the logits; below 1, samples are more probable and less diverse.
      guidance: Weight w of classifier-free guidance (Ho and Salimans 2022), which makes samples fit their condition
        better. The logits are ``(1 + w) * a - w * b``, where a are the logits given the condition, and b those given
        the null condition. The model must have been trained with conditions dropped at random. With guidance, a
        network of your own needs h as vectors, not as labels.
      on_row: Called with the index of each row that is finished, for a progress bar; not called without a ``Stream``.

    Returns:
      Integers 0 to ``model.levels - 1``, int32, of shape [batch, height, width, channels]. Under ``jit``, wrong values
      raise no error. Instead, a sub-pixel is -1 if it was drawn from logits with NaN or plus infinity, or if it was
      observed with a value out of range.

    Raises:
      InputError: If an argument does not fit the model, or a logit is NaN or plus infinity.

    Example:
      >>> import jax
      >>> from pixelcnn_jax import load_pretrained, sample
      >>> model, variables, _ = load_pretrained("digits")
      >>> images = sample(model, variables, jax.random.key(0), shape=(16, 8, 8))
      >>> images.shape, images.dtype, bool(images.max() < model.levels)
      ((16, 8, 8, 1), dtype('int32'), True)
    """
    return _draw(model, variables, key, shape, h, s, observed, mask, temperature, guidance, on_row=on_row).images


def sample_and_log_prob(
    model: nn.Module,
    variables: Variables,
    key: RandomKeys,
    *,
    shape: tuple[int, int, int],
    h: ConditionLike | None = None,
    s: Map | None = None,
    observed: ImagesLike | None = None,
    mask: Mask | None = None,
    temperature: Scalar = 1.0,
    guidance: Scalar = 0.0,
    on_row: OnRow | None = None,
) -> tuple[Int[Array, "batch height width channels"], Float[Array, " batch"]]:
    """Draws images as ``sample`` does, and computes the log-probability of each.

    Args:
      model: A network of this package, a ``ConditionalModel``, or any Linen module that maps images to logits and has
        the fields ``levels`` and ``channels``.
      variables: Its variables, as from ``model.init``, ``fit`` or ``load_pretrained``.
      key: One PRNG key, or a key per image. With one key, the random numbers of an image (its noise) depend on this key
        and on the place of the image in the batch. With a key per image, they depend on its key alone, so images with
        equal keys get equal noise in any batch. If the keys are spread over several devices (sharded), so is the batch.
      shape: Number of images, height and width.
      h: The condition, one row per image: vectors [batch, condition] or class labels [batch]. Pass labels as integers,
        which are converted to one-hot vectors for a network of this package; your own network gets them as int32. For a
        ``ConditionalModel``, pass what its conditioner reads. None for a model without a condition.
      s: Maps [batch, height, width, map_features]; None for a model without maps.
      observed: Images to complete, [batch, height, width, channels], or one for the whole batch, [1, height, width,
        channels]. Sub-pixels are kept where ``mask`` is true, and drawn elsewhere. Pass both ``observed`` and ``mask``,
        or neither.
      mask: A bool array [batch, height, width, channels], true at observed sub-pixels. An axis of length 1 is
        broadcast. If the observed pixels come first in raster order (row by row from the top, each from left to right),
        the samples follow p(rest | observed) exactly, unless ``temperature`` or ``guidance`` is set. With other masks,
        they are approximate, because an observed pixel influences only the pixels after it.
      temperature: Divisor of the logits; below 1, samples are more probable and less diverse.
      guidance: Weight w of classifier-free guidance (Ho and Salimans 2022), which makes samples fit their condition
        better. The logits are ``(1 + w) * a - w * b``, where a are the logits given the condition, and b those given
        the null condition. The model must have been trained with conditions dropped at random. With guidance, a
        network of your own needs h as vectors, not as labels.
      on_row: Called with the index of each row that is finished, for a progress bar; not called without a ``Stream``.

    Returns:
      The images that ``sample`` draws, and the log-probability of each in nats, of shape [batch] and of type float32 or
      a more precise one. These are log-probabilities under the distribution from which the images are drawn, so they
      depend on temperature and guidance. Observed sub-pixels do not count. Under ``jit``, wrong values raise no error:
      if a logit is NaN or plus infinity, or an observed value is out of range, the sub-pixel becomes -1 and the
      log-probability of its image NaN.

    Raises:
      InputError: If an argument does not fit the model, or a logit is NaN or plus infinity.

    Example:
      >>> import jax
      >>> import numpy as np
      >>> from pixelcnn_jax import load_pretrained, log_prob, sample_and_log_prob
      >>> model, variables, _ = load_pretrained("digits")
      >>> images, log_probs = sample_and_log_prob(model, variables, jax.random.key(0), shape=(4, 8, 8))
      >>> np.allclose(log_probs, log_prob(model, variables, images), rtol=1e-4)
      True
    """
    drawn = _draw(model, variables, key, shape, h, s, observed, mask, temperature, guidance, on_row=on_row, scored=True)
    is_valid = (drawn.images >= 0).all(axis=(1, 2, 3))
    return drawn.images, jnp.where(is_valid, cast(Array, drawn.log_probs), jnp.nan)


class Drawn(NamedTuple):
    """The images so far, and their log-probabilities, which are None unless they are requested."""

    images: Int[Array, "batch height width channels"]
    log_probs: Float[Array, " batch"] | None


class SamplerInputs(NamedTuple):
    """Keys, mask and condition.

    With guidance, the batch of ``condition`` is twice as long: each image has two rows, its condition and then its null
    condition.
    """

    keys: Key[Array, " batch"]
    mask: Bool[Array, "batch height width channels"]
    condition: Condition


def naive_sample(
    model: nn.Module,
    variables: Variables,
    key: RandomKeys,
    *,
    shape: tuple[int, int, int],
    h: ConditionLike | None = None,
    s: Map | None = None,
    observed: ImagesLike | None = None,
    mask: Mask | None = None,
    temperature: Scalar = 1.0,
    guidance: Scalar = 0.0,
) -> Int[Array, "batch height width channels"]:
    """Draws the same images as ``sample``, but by a forward pass for every sub-pixel.

    Use it to check the ``Stream`` of a network of your own: both functions must draw the same images in float32.

    Args:
      model: A network of this package, a ``ConditionalModel``, or any Linen module that maps images to logits and has
        the fields ``levels`` and ``channels``.
      variables: Its variables, as from ``model.init``, ``fit`` or ``load_pretrained``.
      key: One PRNG key, or a key per image. With one key, the random numbers of an image (its noise) depend on this key
        and on the place of the image in the batch. With a key per image, they depend on its key alone, so images with
        equal keys get equal noise in any batch. If the keys are spread over several devices (sharded), so is the batch.
      shape: Number of images, height and width.
      h: The condition, one row per image: vectors [batch, condition] or class labels [batch]. Pass labels as integers,
        which are converted to one-hot vectors for a network of this package; your own network gets them as int32. For a
        ``ConditionalModel``, pass what its conditioner reads. None for a model without a condition.
      s: Maps [batch, height, width, map_features]; None for a model without maps.
      observed: Images to complete, [batch, height, width, channels], or one for the whole batch, [1, height, width,
        channels]. Sub-pixels are kept where ``mask`` is true, and drawn elsewhere. Pass both ``observed`` and ``mask``,
        or neither.
      mask: A bool array [batch, height, width, channels], true at observed sub-pixels. An axis of length 1 is
        broadcast. If the observed pixels come first in raster order (row by row from the top, each from left to right),
        the samples follow p(rest | observed) exactly, unless ``temperature`` or ``guidance`` is set. With other masks,
        they are approximate, because an observed pixel influences only the pixels after it.
      temperature: Divisor of the logits; below 1, samples are more probable and less diverse.
      guidance: Weight w of classifier-free guidance (Ho and Salimans 2022), which makes samples fit their condition
        better. The logits are ``(1 + w) * a - w * b``, where a are the logits given the condition, and b those given
        the null condition. The model must have been trained with conditions dropped at random. With guidance, a
        network of your own needs h as vectors, not as labels.

    Returns:
      The images that ``sample`` draws. In bfloat16 or float16, some sub-pixels may differ, because the two functions
      round logits differently, and because ``sample`` computes a network with ``linear_prediction`` in float32.

    Raises:
      InputError: If an argument does not fit the model, or a logit is NaN or plus infinity.

    Example:
      >>> import jax
      >>> from pixelcnn_jax import load_pretrained, naive_sample, sample
      >>> model, variables, _ = load_pretrained("digits")
      >>> key, shape = jax.random.key(0), (2, 8, 8)
      >>> bool((naive_sample(model, variables, key, shape=shape) == sample(model, variables, key, shape=shape)).all())
      True
    """
    return _draw(model, variables, key, shape, h, s, observed, mask, temperature, guidance, cached=False).images


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
    """Draws rows ``first`` to ``stop - 1``. Both are traced, so this is compiled once for any number of rows."""
    params, width = stream.prepare(params), drawn.images.shape[2]

    def sample_row(row: Array, state: Any) -> Any:
        choose = _chooser(stream.model, adjustment, inputs, row)
        return advance_row(stream, params, inputs.condition, row, state, choose, width, repeat=adjustment.repeat)

    state = varying_as(jax.random.key_data(inputs.keys), (drawn.images, rows, drawn.log_probs))
    images, rows, log_probs = jax.lax.fori_loop(first, stop, sample_row, state)
    return Drawn(images, log_probs), rows


@partial(jax.jit, static_argnames="model")
def _sample_naively(
    model: nn.Module, variables: Variables, adjustment: Adjustment, inputs: SamplerInputs, drawn: Drawn
) -> Drawn:
    _, *shape = drawn.images.shape

    def sample_subpixel(index: Array, drawn: Drawn) -> Drawn:
        row, column, colour = jnp.unravel_index(index, shape)
        at, images = (slice(None), row, column, colour), drawn.images
        logits = logits_of(model, variables, adjustment.repeat(images), inputs.condition)[at]
        choose = _chooser(model, adjustment, inputs, row)
        values, log_probs = choose(drawn.log_probs, logits, images[at], column, colour)
        return Drawn(images.at[at].set(values), log_probs)

    drawn = varying_as(jax.random.key_data(inputs.keys), drawn)
    return jax.lax.fori_loop(0, int(np.prod(shape)), sample_subpixel, drawn)


def _chooser(model: nn.Module, adjustment: Adjustment, inputs: SamplerInputs, row: Array) -> Callable[..., Any]:
    """Returns a function that draws a sub-pixel of a row, and adds its log-probability to that of the image so far."""
    _, _, width, channels = inputs.mask.shape
    gumbel = gumbel_noise(inputs.keys, row, width=width, channels=channels, levels=model.levels)

    def choose(log_probs: Array | None, logits: Array, old: Array, column: Array, colour: Array | int) -> Any:
        logits, kept = adjustment.logits(logits), inputs.mask[:, row, column, colour]
        values = gumbel_max(logits, gumbel[:, column, colour]).astype(old.dtype)
        if log_probs is not None:
            log_probs = log_probs + jnp.where(kept, 0.0, log_probs_of(logits, values))
        return jnp.where(kept, old, values), log_probs

    return choose


def _draw(
    model: nn.Module,
    variables: Variables,
    key: Array,
    shape: tuple[int, int, int],
    h: ConditionLike | None,
    s: Map | None,
    observed: ImagesLike | None,
    mask: Mask | None,
    temperature: Scalar,
    guidance: Scalar,
    *,
    on_row: OnRow | None = None,
    scored: bool = False,
    cached: bool = True,
) -> Drawn:
    """Draws images as ``sample`` does; ``scored`` adds log-probabilities, and ``cached=False`` avoids the stream."""
    if len(shape) != 3:
        raise InputError(f"shape must be (batch, height, width), got {shape}.")
    adjustment = make_adjustment(temperature, guidance)
    network, weights, condition = apply_conditioner(model, variables, h, s, shape=shape)
    if adjustment.guidance is not None:
        condition = interleave(condition, make_null_condition(model, variables, h, condition))
    full, levels = (*shape, network.channels), network.levels
    if observed is None and mask is None:
        observed, mask = np.zeros(full, np.int32), np.zeros((1, 1, 1, 1), bool)
    mask = as_mask(mask, full)
    # Unobserved sub-pixels become 0: a network may look up an embedding for every sub-pixel, even before it is drawn,
    # so each must hold a valid level.
    images = as_images(observed, channels=full[-1], levels=levels, name="observed", mask=mask)
    words = jax.random.key_data(key)
    if words.ndim > 1 and len(words) != shape[0]:
        raise InputError(f"key must be one key or one for each of the {shape[0]} images, got {len(words)} keys.")
    images, keys = _begun(images, words, full, levels)
    drawn = Drawn(images, jnp.zeros(shape[0]) if scored else None)
    inputs = SamplerInputs(keys, jnp.asarray(mask, bool), condition)
    (drawn, inputs), weights = match_sharding(keys, (drawn, inputs), weights)
    if cached and (stream := stream_of(network)) is not None:
        drawn = _sample_by_rows(stream, params_of(weights), adjustment, inputs, drawn, on_row)
    else:
        drawn = _sample_naively(network, weights, adjustment, inputs, drawn)
    if not isinstance(drawn.images, jax.core.Tracer) and drawn.images.size and int(drawn.images.min()) < 0:
        raise InputError(NOT_FINITE)
    return drawn


def _sample_by_rows(
    stream: Stream, params: Params, adjustment: Adjustment, inputs: SamplerInputs, drawn: Drawn, on_row: OnRow | None
) -> Drawn:
    batch, height, width, _ = drawn.images.shape
    rows, _ = match_sharding(inputs.keys, first_rows(stream, params, batch * adjustment.passes, width), None)
    advance = partial(_sample_rows, stream, params, adjustment, inputs)
    if on_row is None:
        return advance(drawn, rows, 0, height)[0]
    for row in range(height):
        drawn, rows = jax.block_until_ready(advance(drawn, rows, row, row + 1))
        on_row(row)
    return drawn


# Compiled as one program: separate operations would make drawing a small image a tenth slower.
@partial(jax.jit, static_argnames=("shape", "levels"))
def _begun(
    observed: Array, words: Array, shape: tuple[int, ...], levels: int
) -> tuple[Int[Array, "batch height width channels"], Key[Array, " batch"]]:
    """Builds the images with which sampling starts, and a key for each.

    Wrong values of traced arrays raise no error: a value out of range becomes -1, and gives its image the
    log-probability NaN.
    """
    images = jnp.broadcast_to(jnp.asarray(observed, jnp.int32), shape)
    # vmap over JAX's keys of the kind "rbg" would use only the first of them, so all keys become "threefry" keys, which
    # have two 32-bit words.
    key = jax.random.wrap_key_data(words[..., :2], impl="threefry2x32")
    keys = key if key.ndim else jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(shape[0]))
    return jnp.where((images >= 0) & (images < levels), images, -1), keys
