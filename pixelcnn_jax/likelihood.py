"""Exact likelihoods of integer images: nats an image, bits a sub-pixel."""

import math
from functools import partial
from typing import Any, TypeVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from pixelcnn_jax.distributions import log_probs_of
from pixelcnn_jax.models.autoregressive import Network
from pixelcnn_jax.models.inputs import (
    Condition,
    Images,
    Map,
    Vector,
    apply,
    check_finite,
    check_images,
    check_values,
    params_of,
)
from pixelcnn_jax.models.parameters import Params

Nats = TypeVar("Nats", Array, np.ndarray, float)


def log_prob_of(logits: Float[Array, "batch height width channels levels"], images: Images) -> Float[Array, " batch"]:
    """log p(x) in nats an image, from the logits of a model: equation 1, summed over the sub-pixels."""
    return jnp.sum(log_probs_of(logits, images), axis=(1, 2, 3))


def log_probs(
    model: nn.Module, variables: Params, images: Images, condition: Condition, **options: Any
) -> Float[Array, "batch height width channels"]:
    """The log-probability of each sub-pixel given those before it, in nats: of any module that gives logits."""
    if isinstance(model, Network):
        return apply(model, variables, images, condition, method="log_probs", **options)
    return log_probs_of(apply(model, variables, images, condition, **options), images)


def log_prob(
    model: nn.Module, variables: Params, images: Images, *, h: Vector | None = None, s: Map | None = None
) -> Float[Array, " batch"]:
    """log p(x | h, s) in nats an image (negative), exact: the joint of equation 1.

    Takes images [batch, height, width, channels] of integers, h [batch, condition] and s [batch, height, width,
    map_features]. Raises InputError for images whose values are not levels of the model, and for what does not fit it.
    """
    check_images(images, channels=model.channels, levels=model.levels)
    check_values(images, model.levels)
    check_finite(Condition(h, s))
    if isinstance(model, Network):
        params_of(variables)
    return _log_prob(model, variables, images, h, s)


@partial(jax.jit, static_argnames="model")
def _log_prob(model: nn.Module, variables: Params, images: Images, h: Vector | None, s: Map | None) -> Array:
    return jnp.sum(log_probs(model, variables, images, Condition(h, s)), axis=(1, 2, 3))


def nats_of(
    model: nn.Module,
    variables: Params,
    images: Images,
    *,
    h: Vector | None = None,
    s: Map | None = None,
    key: Key[Array, ""] | None = None,
    counted: Bool[np.ndarray | Array, "#batch #height #width #channels"] | None = None,
) -> Float[Array, " batch"]:
    """-log p(x | h, s) in nats an image, as a loss: pure, differentiable, with dropout where there is a key.

    With ``counted`` the sum is over the sub-pixels where it is true: of the rest, given the others.
    """
    options: dict[str, Any] = {} if key is None else {"deterministic": False, "rngs": {"dropout": key}}
    nats = -log_probs(model, variables, images, Condition(h, s), **options)
    return jnp.sum(nats if counted is None else jnp.where(counted, nats, 0), axis=(1, 2, 3))


def bits_per_dim(
    model: nn.Module, variables: Params, images: Images, *, h: Vector | None = None, s: Map | None = None
) -> Float[Array, " batch"]:
    """-log2 p(x | h, s) a sub-pixel, of each image [batch]: what the papers' tables print, averaged over a split.

    Takes and refuses what ``log_prob`` does.
    """
    return nats_to_bits_per_dim(-log_prob(model, variables, images, h=h, s=s), images.shape[1:])


def nats_to_bits_per_dim(nats: Nats, shape: tuple[int, ...]) -> Nats:
    """Nats an image of ``shape`` (height, width, channels) as bits a sub-pixel."""
    return nats / (math.prod(shape) * math.log(2))
