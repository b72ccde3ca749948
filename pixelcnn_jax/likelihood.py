"""Exact likelihoods, in nats per image and bits per sub-pixel."""

import math
from typing import Any, TypeVar, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from pixelcnn_jax.distributions import log_probs_of
from pixelcnn_jax.models.autoregressive import Network
from pixelcnn_jax.models.checks import as_images, as_mask, logits_of
from pixelcnn_jax.models.conditioning.conditional_model import apply_conditioner
from pixelcnn_jax.models.inputs import Condition, ConditionLike, Images, ImagesLike, LogProbs, Map, Variables

Nats = TypeVar("Nats", Array, np.ndarray, float)


def log_probs(model: nn.Module, variables: Variables, images: Images, condition: Condition, **options: Any) -> LogProbs:
    """Computes the log-probability of each sub-pixel, in nats, for any module; ``options`` go to its call."""
    # A class that overrides only the call computes something else: it is scored by its call.
    defining = next((kind for kind in type(model).__mro__ if {"__call__", "log_probs"} & vars(kind).keys()), object)
    if isinstance(model, Network) and "log_probs" in vars(defining):
        return cast(Array, model.apply(variables, images, condition, method="log_probs", **options))
    return log_probs_of(logits_of(model, variables, images, condition, **options), images)


def log_prob(
    model: nn.Module, variables: Variables, images: ImagesLike, *, h: ConditionLike | None = None, s: Map | None = None
) -> Float[Array, " batch"]:
    """Computes the exact log-likelihood log p(x | h, s) of each image (equation 1 of 1606.05328).

    Args:
      model: A network of this package, a ``ConditionalModel``, or any Linen module that maps images to logits and has
        the fields ``levels`` and ``channels``.
      variables: Its variables, as from ``model.init``, ``fit`` or ``load_pretrained``.
      images: Integers 0 to ``model.levels - 1``, or bool, of shape [batch, height, width, channels]; the last axis may
        be missing if there is one channel.
      h: The condition, one row per image: vectors [batch, condition] or class labels [batch]. Pass labels as integers,
        which are converted to one-hot vectors for a network of this package; your own network gets them as int32. For a
        ``ConditionalModel``, pass what its conditioner reads. None for a model without a condition.
      s: Maps [batch, height, width, map_features]; None for a model without maps.

    Returns:
      Log-probabilities in nats, at most 0, float32 at least, of shape [batch]. Under ``jit``, where values cannot be
      checked, an image with a value out of range has NaN.

    Raises:
      InputError: If images, h or s do not fit the model.

    Example:
      >>> from sklearn.datasets import load_digits
      >>> from pixelcnn_jax import load_pretrained, log_prob
      >>> model, variables, _ = load_pretrained("digits")
      >>> images = load_digits().images[-2:].astype(int)
      >>> print(log_prob(model, variables, images).round(1))
      [-85.3 -94. ]
    """
    images = as_images(images, channels=model.channels, levels=model.levels)
    model, variables, condition = apply_conditioner(model, variables, h, s, shape=images.shape)
    return _log_prob(model, variables, images, condition)


@jax.jit(static_argnames="model")
def _log_prob(model: nn.Module, variables: Variables, images: Images, condition: Condition) -> Array:
    images = images.astype(jnp.int32)  # the number of levels need not fit into uint8
    in_range = (images >= 0) & (images < model.levels)
    return jnp.sum(jnp.where(in_range, log_probs(model, variables, images, condition), jnp.nan), axis=(1, 2, 3))


def nll(
    model: nn.Module,
    variables: Variables,
    images: ImagesLike,
    *,
    h: ConditionLike | None = None,
    s: Map | None = None,
    key: Key[Array, ""] | None = None,
    mask: Bool[np.ndarray | Array, "#batch #height #width #channels"] | None = None,
) -> Float[Array, " batch"]:
    """Computes the negative log-likelihood (NLL) -log p(x | h, s) of each image, the loss of training.

    Unlike ``log_prob`` it can apply dropout and score a part of each image.

    Args:
      model: A network of this package, a ``ConditionalModel``, or any Linen module that maps images to logits and has
        the fields ``levels`` and ``channels``.
      variables: Its variables, as from ``model.init``, ``fit`` or ``load_pretrained``.
      images: Integers 0 to ``model.levels - 1``, or bool, of shape [batch, height, width, channels]; the last axis may
        be missing if there is one channel. Under ``jit``, values out of range are not noticed.
      h: The condition, one row per image: vectors [batch, condition] or class labels [batch]. Pass labels as integers,
        which are converted to one-hot vectors for a network of this package; your own network gets them as int32. For a
        ``ConditionalModel``, pass what its conditioner reads. None for a model without a condition.
      s: Maps [batch, height, width, map_features]; None for a model without maps.
      key: PRNG key of the dropout; None, the default, disables it. For dropout, the call of a network of your own needs
        an argument ``deterministic``, which is then False.
      mask: A bool array [batch, height, width, channels], true at the sub-pixels (channels of a pixel) whose losses are
        summed. The other sub-pixels still serve to predict later ones. An axis of length 1 is broadcast. None, the
        default, sums over all.

    Returns:
      Losses in nats, float32 at least, of shape [batch].

    Raises:
      InputError: If images, h, s or the mask do not fit the model.

    Example:
      >>> import jax
      >>> from pixelcnn_jax import GatedPixelCNN, nll
      >>> images = jax.random.randint(jax.random.key(0), (4, 8, 8, 1), 0, 2)
      >>> model = GatedPixelCNN(levels=2, features=8, layers=2)
      >>> variables = model.init(jax.random.key(1), images)
      >>> gradient = jax.grad(lambda variables: nll(model, variables, images).mean())(variables)
      >>> jax.tree.map(lambda x, dx: x.shape == dx.shape, variables, gradient)["params"]["head"]["logits"]
      {'bias': True, 'kernel': True}
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
    """Computes bits per dimension, -log2 p(x | h, s) of each image divided by height x width x channels.

    Args:
      model: A network of this package, a ``ConditionalModel``, or any Linen module that maps images to logits and has
        the fields ``levels`` and ``channels``.
      variables: Its variables, as from ``model.init``, ``fit`` or ``load_pretrained``.
      images: Integers 0 to ``model.levels - 1``, or bool, of shape [batch, height, width, channels]; the last axis may
        be missing if there is one channel.
      h: The condition, one row per image: vectors [batch, condition] or class labels [batch]. Pass labels as integers,
        which are converted to one-hot vectors for a network of this package; your own network gets them as int32. For a
        ``ConditionalModel``, pass what its conditioner reads. None for a model without a condition.
      s: Maps [batch, height, width, map_features]; None for a model without maps.

    Returns:
      Bits/dim, at least 0, float32 at least, of shape [batch]. A model for which all levels are equally probable has
      log2(levels).

    Raises:
      InputError: If images, h or s do not fit the model.

    Example:
      >>> from sklearn.datasets import load_digits
      >>> from pixelcnn_jax import bits_per_dim, load_pretrained
      >>> model, variables, _ = load_pretrained("digits")
      >>> print(bits_per_dim(model, variables, load_digits().images[-2:].astype(int)).round(2))
      [1.92 2.12]
    """
    shape = (*np.shape(images)[1:3], model.channels)
    return nats_to_bits_per_dim(-log_prob(model, variables, images, h=h, s=s), shape)


def nats_to_bits_per_dim(nats: Nats, shape: tuple[int, ...]) -> Nats:
    """Converts nats per image to bits per sub-pixel."""
    return nats / (math.prod(shape) * math.log(2))
