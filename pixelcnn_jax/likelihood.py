"""Exact likelihoods, in nats per image and bits per sub-pixel."""

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
    ConditionLike,
    Images,
    ImagesLike,
    ImageSpec,
    Map,
    Variables,
    apply,
    as_images,
)

ROUNDING = 1e-5  # relative tolerance of logits
Nats = TypeVar("Nats", Array, np.ndarray, float)
QUANTILE = 1.959964  # 97.5 % of the standard normal


class Evaluation(NamedTuple):
    """Likelihood of a set of images; error and 95 % interval are those of ``nats``.

    The error covers the choice of images, not the randomness of training.
    """

    nats: float
    bits_per_dim: float
    standard_error: float
    interval: tuple[float, float]
    images: int


def log_probs(
    model: nn.Module, variables: Variables, images: Images, condition: Condition, **options: Any
) -> Float[Array, "batch height width channels"]:
    """Computes the log-probability of each sub-pixel, in nats, for any module."""
    if isinstance(model, Network):
        return cast(Array, model.apply(variables, images, condition, method="log_probs", **options))
    return log_probs_of(apply(model, variables, images, condition, **options), images)


def log_prob(
    model: nn.Module, variables: Variables, images: ImagesLike, *, h: ConditionLike | None = None, s: Map | None = None
) -> Float[Array, " batch"]:
    """Computes log p(x | h, s) exactly, in nats per image (equation 1).

    Args:
      images: integers 0 to ``levels - 1``, or bool; out of range gives NaN under ``jit``.
      h: vectors [batch, condition] or class labels [batch].
      s: maps [batch, height, width, map_features].

    Raises:
      InputError: images, h or s do not fit the model.
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
    images: ImagesLike,
    *,
    h: ConditionLike | None = None,
    s: Map | None = None,
    key: Key[Array, ""] | None = None,
    mask: Bool[np.ndarray | Array, "#batch #height #width #channels"] | None = None,
) -> Float[Array, " batch"]:
    """Computes the loss -log p(x | h, s) in nats per image; values are not checked.

    Args:
      key: dropout key; None disables dropout.
      mask: true at the sub-pixels to score; the others still condition later ones.
    """
    options: dict[str, Any] = {} if key is None else {"deterministic": False, "rngs": {"dropout": key}}
    rngs = options.get("rngs")
    model, variables, condition = apply_conditioner(model, variables, h, s, shape=images.shape, rngs=rngs)
    each = -log_probs(model, variables, images, condition, **options)
    return jnp.sum(each if mask is None else jnp.where(mask, each, 0), axis=(1, 2, 3))


def bits_per_dim(
    model: nn.Module, variables: Variables, images: ImagesLike, *, h: ConditionLike | None = None, s: Map | None = None
) -> Float[Array, " batch"]:
    """Computes -log2 p(x | h, s) per sub-pixel, as reported in papers."""
    shape = (*np.shape(images)[1:3], model.channels)
    return nats_to_bits_per_dim(-log_prob(model, variables, images, h=h, s=s), shape)


def check_causal(
    model: nn.Module,
    variables: Variables,
    *,
    shape: tuple[int, int, int],
    h: ConditionLike | None = None,
    s: Map | None = None,
) -> None:
    """Checks that logits depend only on earlier sub-pixels, with random images.

    Takes one forward pass per sub-pixel. Misses changes of logits below 1e-5 and any that these images hide.

    Args:
      variables: kernels of zeros would hide a leak.
      shape: batch, height and width of the images; small ones suffice.

    Raises:
      InputError: the logits are not causal, or NaN.
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
    """Converts nats per image to bits per sub-pixel."""
    return nats / (math.prod(shape) * math.log(2))


def summarise(each: Float[np.ndarray, " count"], spec: ImageSpec) -> Evaluation:
    """Summarises nats per image as an ``Evaluation``."""
    each = each.astype(np.float64)
    mean, count = float(each.mean()), len(each)
    error = float(each.std(ddof=1)) / count**0.5 if count > 1 else float("inf")
    half = QUANTILE * error
    return Evaluation(mean, nats_to_bits_per_dim(mean, spec.shape), error, (mean - half, mean + half), count)
