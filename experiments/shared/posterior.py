"""Posterior and bounds of a variational auto-encoder."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from pixelcnn_jax.models.inputs import Images, fingerprint


class Posterior(NamedTuple):
    """q(z|x), a diagonal Gaussian; the prior is standard normal."""

    mean: Float[Array, "batch m"]
    log_scale: Float[Array, "batch m"]

    def draw(self, keys: Key[Array, " batch"]) -> Float[Array, "batch m"]:
        """Draws a latent per image."""
        return self.mean + jnp.exp(self.log_scale) * normal(keys, self.mean.shape[1])

    def kl(self) -> Float[Array, "batch m"]:
        """Computes the KL divergence from the prior in nats, per latent dimension."""
        return 0.5 * (self.mean**2 + jnp.exp(2 * self.log_scale) - 1) - self.log_scale

    def log_weight(self, z: Float[Array, "batch m"]) -> Float[Array, " batch"]:
        """Computes log p(z) - log q(z|x)."""
        noise = (z - self.mean) * jnp.exp(-self.log_scale)
        return jnp.sum(0.5 * (noise**2 - z**2) + self.log_scale, axis=1)


def keys_of(key: Key[Array, ""], images: Images) -> Key[Array, " batch"]:
    """Derives a key per image from its pixels, independent of its batch."""
    return jax.vmap(partial(jax.random.fold_in, key))(fingerprint(images))


def normal(keys: Key[Array, " batch"], count: int) -> Float[Array, "batch count"]:
    """Draws ``count`` standard normal numbers per key."""
    return jax.vmap(lambda key: jax.random.normal(key, (count,)))(keys)


def bounds(
    q: Posterior,
    nats_given: Callable[[Float[Array, "batch m"]], Float[Array, " batch"]],
    images: Images,
    *,
    key: Key[Array, ""],
    count: int,
) -> dict[str, Float[Array, "batch ..."]]:
    """Computes variational bounds of the nats of each image, and their terms.

    Args:
      q: posterior of the images.
      nats_given: decoder nats given latents.
      images: the images.
      key: folded with each image's pixels.
      count: latents per image.

    Returns:
      "negative_elbo"; "importance_weighted" (Burda et al. 2016); "given_code" and "given_prior", decoder nats given q
      and the prior; "kl"; "latent" [batch, m], the mean of q.
    """

    def one_latent(key: Key[Array, ""]) -> Float[Array, "terms batch"]:
        z = q.draw(keys_of(key, images))
        given = nats_given(z)
        return jnp.stack([q.log_weight(z) - given, given])

    of_posterior, of_prior = jax.random.split(key)
    terms = jax.lax.map(one_latent, jax.random.split(of_posterior, count))
    bound = jax.nn.logsumexp(terms[:, 0], axis=0) - jnp.log(count)
    given_prior = nats_given(normal(keys_of(of_prior, images), q.mean.shape[1]))
    given, kl = jnp.mean(terms[:, 1], axis=0), jnp.sum(q.kl(), axis=1)
    return {
        "negative_elbo": given + kl,
        "importance_weighted": -bound,
        "given_code": given,
        "given_prior": given_prior,
        "kl": kl,
        "latent": q.mean,
    }
