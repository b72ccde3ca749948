"""Exact likelihoods, in nats per image and bits per sub-pixel."""

import math
from functools import partial
from typing import Any, TypeVar, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from pixelcnn_jax.distributions import log_probs_of
from pixelcnn_jax.models.autoregressive import Network
from pixelcnn_jax.models.conditioning.conditional import apply_conditioner
from pixelcnn_jax.models.inputs import (
    Condition,
    ConditionLike,
    Images,
    ImagesLike,
    Map,
    Variables,
    apply,
    as_images,
    as_mask,
)

Nats = TypeVar("Nats", Array, np.ndarray, float)


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
      h: vectors [batch, condition] of any dtype, or class labels [batch], which are integers from 0 or bool.
      s: maps [batch, height, width, map_features].

    Raises:
      InputError: images, h or s do not fit the model.
    """
    images = as_images(images, channels=model.channels, levels=model.levels)
    model, variables, condition = apply_conditioner(model, variables, h, s, shape=images.shape)
    return _log_prob(model, variables, images, condition)


@partial(jax.jit, static_argnames="model")
def _log_prob(model: nn.Module, variables: Variables, images: Images, condition: Condition) -> Array:
    images = images.astype(jnp.int32)  # the number of levels need not fit into uint8
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
    """Computes the loss -log p(x | h, s) in nats per image; traced values are not checked.

    Args:
      key: dropout key; None disables dropout.
      mask: true at the sub-pixels to score; the others still condition later ones.
    """
    options: dict[str, Any] = {} if key is None else {"deterministic": False, "rngs": {"dropout": key}}
    rngs = options.get("rngs")
    images = as_images(images, channels=getattr(model, "channels", np.shape(images)[-1]), levels=model.levels)
    model, variables, condition = apply_conditioner(model, variables, h, s, shape=images.shape, rngs=rngs)
    losses = -log_probs(model, variables, images.astype(jnp.int32), condition, **options)
    return jnp.sum(losses if mask is None else jnp.where(as_mask(mask, losses.shape), losses, 0), axis=(1, 2, 3))


def bits_per_dim(
    model: nn.Module, variables: Variables, images: ImagesLike, *, h: ConditionLike | None = None, s: Map | None = None
) -> Float[Array, " batch"]:
    """Computes -log2 p(x | h, s) per sub-pixel, as reported in papers."""
    shape = (*np.shape(images)[1:3], model.channels)
    return nats_to_bits_per_dim(-log_prob(model, variables, images, h=h, s=s), shape)


def nats_to_bits_per_dim(nats: Nats, shape: tuple[int, ...]) -> Nats:
    """Converts nats per image to bits per sub-pixel."""
    return nats / (math.prod(shape) * math.log(2))
