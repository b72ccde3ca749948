"""The posterior of a variational auto-encoder, and noise that depends on an image and not on its batch."""

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
