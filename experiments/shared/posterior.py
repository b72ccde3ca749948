"""The posterior and the bounds of a variational auto-encoder, and noise that depends on an image, not on its batch."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from pixelcnn_jax.models.inputs import Images, fingerprint


class Posterior(NamedTuple):
    """q(z|x), a diagonal Gaussian. The prior is the standard one."""

    mean: Float[Array, "batch m"]
    log_scale: Float[Array, "batch m"]

    def draw(self, keys: Key[Array, " batch"]) -> Float[Array, "batch m"]:
        """Draws a latent of each image by its own key."""
        return self.mean + jnp.exp(self.log_scale) * normal(keys, self.mean.shape[1])

    def kl(self) -> Float[Array, "batch m"]:
        """Returns the KL divergence from the prior in nats, of each latent dimension."""
        return 0.5 * (self.mean**2 + jnp.exp(2 * self.log_scale) - 1) - self.log_scale

    def log_weight(self, z: Float[Array, "batch m"]) -> Float[Array, " batch"]:
        """Returns log p(z) - log q(z|x)."""
        noise = (z - self.mean) * jnp.exp(-self.log_scale)
        return jnp.sum(0.5 * (noise**2 - z**2) + self.log_scale, axis=1)


def keys_of(key: Key[Array, ""], images: Images) -> Key[Array, " batch"]:
    """Returns a key for each image that depends on its pixels and not on its batch."""
    return jax.vmap(partial(jax.random.fold_in, key))(fingerprint(images))


def normal(keys: Key[Array, " batch"], count: int) -> Float[Array, "batch count"]:
    """Draws ``count`` standard normal numbers by each key."""
    return jax.vmap(lambda key: jax.random.normal(key, (count,)))(keys)


def bounds(
    q: Posterior,
    nats_given: Callable[[Float[Array, "batch m"]], Float[Array, " batch"]],
    images: Images,
    *,
    key: Key[Array, ""],
    count: int,
) -> dict[str, Float[Array, "batch ..."]]:
    """Returns bounds of the nats of each image, and what they are made of.

    Returns:
      "negative_elbo"; "importance_weighted", the bound of Burda et al. 2016; "given_code" and "given_prior", the
      decoder's nats given a latent of q and of the prior; "kl"; and "latent" [batch, m], the mean of q.

    Args:
      q: a distribution of the latent for each image, such as the posterior.
      nats_given: the decoder's nats of the images, given a latent of each.
      images: the images.
      key: of the latents, which also depend on the image, not on its batch.
      count: latents drawn for each image.
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
