"""Exact likelihoods of integer images, in nats per image and in bits per sub-pixel."""

import math
from functools import partial
from typing import Any, NamedTuple, TypeVar, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from pixelcnn_jax.distributions import log_probs_of
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.autoregressive import Network
from pixelcnn_jax.models.conditioning.conditional import apply_conditioner
from pixelcnn_jax.models.inputs import (
    Condition,
    Given,
    GivenImages,
    Images,
    ImageSpec,
    Map,
    Variables,
    apply,
    as_images,
)

ROUNDING = 1e-5  # relative difference of logits that two programs may round differently
Nats = TypeVar("Nats", Array, np.ndarray, float)
QUANTILE = 1.959964  # of the standard normal distribution at 97.5 %


class Evaluation(NamedTuple):
    """The likelihood of a set of images.

    Attributes:
      nats: mean of -log p(x | h, s), in nats per image.
      bits_per_dim: the same in bits per sub-pixel.
      standard_error: the standard error of ``nats``: the standard deviation over the images, divided by the square root
        of their number. It covers the choice of images, not the randomness of training.
      interval: ends of the 95 % confidence interval of ``nats``, by the normal approximation.
      images: number of images.
    """

    nats: float
    bits_per_dim: float
    standard_error: float
    interval: tuple[float, float]
    images: int


def log_probs(
    model: nn.Module, variables: Variables, images: Images, condition: Condition, **options: Any
) -> Float[Array, "batch height width channels"]:
    """Returns the log-probability of each sub-pixel given those before it, in nats; takes any module."""
    if isinstance(model, Network):
        return cast(Array, model.apply(variables, images, condition, method="log_probs", **options))
    return log_probs_of(apply(model, variables, images, condition, **options), images)


def log_prob(
    model: nn.Module, variables: Variables, images: GivenImages, *, h: Given | None = None, s: Map | None = None
) -> Float[Array, " batch"]:
    """Returns log p(x | h, s), exact, in nats per image (negative): the joint of equation 1.

    Args:
      model: a model of this package, or any module that maps images to logits.
      variables: its variables.
      images: integers 0 to ``model.levels - 1``, or bool; the axis of one channel may be left out.
      h: vectors [batch, condition], or class labels [batch] in place of one-hot vectors, for a model made with one.
      s: maps [batch, height, width, map_features], for a model made with one.

    Raises:
      InputError: for images, h or s that do not fit the model. Under ``jit``, images out of range have NaN.
    """
    images = as_images(images, channels=model.channels, levels=model.levels)
    model, variables, condition = apply_conditioner(model, variables, h, s, shape=images.shape)
    return _log_prob(model, variables, images, condition)


@partial(jax.jit, static_argnames="model")
def _log_prob(model: nn.Module, variables: Variables, images: Images, condition: Condition) -> Array:
    in_range = (images >= 0) & (images < model.levels)
    return jnp.sum(jnp.where(in_range, log_probs(model, variables, images, condition), jnp.nan), axis=(1, 2, 3))


def nats(
    model: nn.Module,
    variables: Variables,
    images: GivenImages,
    *,
    h: Given | None = None,
    s: Map | None = None,
    key: Key[Array, ""] | None = None,
    counted: Bool[np.ndarray | Array, "#batch #height #width #channels"] | None = None,
) -> Float[Array, " batch"]:
    """Returns -log p(x | h, s) in nats per image, as a loss: pure, differentiable, to be jitted by the caller.

    Args:
      model, variables, images, h, s: as in ``log_prob``; values are not checked.
      key: random key for dropout; None disables dropout.
      counted: true at the sub-pixels to score (default: all). Unscored sub-pixels still condition later ones.
    """
    options: dict[str, Any] = {} if key is None else {"deterministic": False, "rngs": {"dropout": key}}
    rngs = options.get("rngs")
    model, variables, condition = apply_conditioner(model, variables, h, s, shape=images.shape, rngs=rngs)
    each = -log_probs(model, variables, images, condition, **options)
    return jnp.sum(each if counted is None else jnp.where(counted, each, 0), axis=(1, 2, 3))


def bits_per_dim(
    model: nn.Module, variables: Variables, images: GivenImages, *, h: Given | None = None, s: Map | None = None
) -> Float[Array, " batch"]:
    """Returns -log2 p(x | h, s) per sub-pixel for each image; its mean over a split is the figure papers report.

    Takes and raises the same as ``log_prob``.
    """
    shape = (*np.shape(images)[1:3], model.channels)
    return nats_to_bits_per_dim(-log_prob(model, variables, images, h=h, s=s), shape)


def check_causal(
    model: nn.Module, variables: Variables, *, shape: tuple[int, int, int], h: Given | None = None, s: Map | None = None
) -> None:
    """Checks that the logits of a sub-pixel depend only on the sub-pixels before it. Otherwise likelihoods are wrong.

    Each sub-pixel of random images is changed in turn, so the check takes as many forward passes as an image has
    sub-pixels. Small images are enough. The check misses a dependence that does not show in these images, and changes
    of a logit of less than about 1e-5.

    Args:
      model: a model of this package, or any module that maps images to logits.
      variables: its variables. Freshly initialised ones are enough if none of them is zero.
      shape: batch, height and width of the random images. A few images detect more than one image does.
      h: vectors [batch, condition], or class labels [batch], for a model made with one.
      s: maps [batch, height, width, map_features], for a model made with one.

    Raises:
      InputError: if the logits of a sub-pixel depend on it or on a later one (the error names both), if they are NaN,
        and for arguments that ``log_prob`` refuses.
    """
    images = jax.random.randint(jax.random.key(0), (*shape, model.channels), 0, model.levels)
    network, weights, condition = apply_conditioner(model, variables, h, s, shape=images.shape)
    leaks, has_nan = map(np.asarray, _leaks(network, weights, images, condition))
    if has_nan:
        raise InputError("model has logits that are NaN: nothing can be said of what they depend on.")
    if leaks.any():
        later, earlier = np.argwhere(leaks)[0]
        names = [tuple(map(int, np.unravel_index(one, images.shape[1:]))) for one in (earlier, later)]
        raise InputError(
            f"model is not causal: the logits of sub-pixel {names[0]} (row, column, channel) depend on {names[1]}."
        )


@partial(jax.jit, static_argnames="model")
def _leaks(
    model: nn.Module, variables: Variables, images: Images, condition: Condition
) -> tuple[Bool[Array, "changed subpixels"], Bool[Array, ""]]:
    """Finds the logits that change with each sub-pixel, of those that come before it or are its own; and any NaN."""
    size = math.prod(images.shape[1:])

    def logits(changed: Array) -> Array:
        flat = images.reshape(-1, size)
        flat = jnp.where((jnp.arange(size) == changed)[None], (flat + 1) % model.levels, flat)
        return apply(model, variables, flat.reshape(images.shape), condition).reshape(-1, size, model.levels)

    unchanged = logits(jnp.array(size))

    def differs(changed: Array) -> Array:
        different = jnp.abs(logits(changed) - unchanged) > ROUNDING * (1 + jnp.abs(unchanged))
        return jnp.any(different, axis=(0, 2)) & (jnp.arange(size) <= changed)

    return jax.lax.map(differs, jnp.arange(size)), jnp.isnan(unchanged).any()


def nats_to_bits_per_dim(nats: Nats, shape: tuple[int, ...]) -> Nats:
    """Converts nats per image of ``shape`` (height, width, channels) to bits per sub-pixel."""
    return nats / (math.prod(shape) * math.log(2))


def summarise(each: Float[np.ndarray, " count"], spec: ImageSpec) -> Evaluation:
    """Returns the mean and the interval of the nats of images."""
    each = each.astype(np.float64)
    mean, count = float(each.mean()), len(each)
    error = float(each.std(ddof=1)) / count**0.5 if count > 1 else float("inf")
    half = QUANTILE * error
    return Evaluation(mean, nats_to_bits_per_dim(mean, spec.shape), error, (mean - half, mean + half), count)
