"""Exact likelihoods of integer images: nats an image, bits a sub-pixel."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from pixelcnn_jax.inputs import check_values
from pixelcnn_jax.parameters import Params


def log_prob_of(
    logits: Float[Array, "batch height width channels levels"], images: Int[Array, "batch height width channels"]
) -> Float[Array, " batch"]:
    """log p(x) in nats an image, from the logits of a model: equation 1, summed over the sub-pixels."""
    chosen = jnp.take_along_axis(logits, images[..., None], axis=-1)[..., 0]
    return jnp.sum(chosen - jax.nn.logsumexp(logits, axis=-1), axis=(1, 2, 3))


def log_prob(
    model: nn.Module,
    variables: Params,
    images: Int[Array, "batch height width channels"],
    *,
    h: Float[Array, "batch condition"] | None = None,
    s: Float[Array, "batch height width map_features"] | None = None,
) -> Float[Array, " batch"]:
    """log p(x | h, s) in nats an image (negative), exact: the joint of equation 1.

    Raises InputError for images whose values are not levels of the model, and for what the model cannot be given.
    """
    check_values(images, model.levels)
    return log_prob_of(model.apply(variables, images, h, s), images)


def bits_per_dim(
    model: nn.Module,
    variables: Params,
    images: Int[Array, "batch height width channels"],
    *,
    h: Float[Array, "batch condition"] | None = None,
    s: Float[Array, "batch height width map_features"] | None = None,
) -> Float[Array, " batch"]:
    """-log2 p(x | h, s) a sub-pixel, an image at a time: what the papers' tables print, averaged over a split."""
    return nats_to_bits_per_dim(-log_prob(model, variables, images, h=h, s=s), images.shape[1:])


def nats_to_bits_per_dim(nats: Float[Array, "..."], shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Nats an image of ``shape`` (height, width, channels) as bits a sub-pixel."""
    return nats / (math.prod(shape) * math.log(2))
