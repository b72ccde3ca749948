"""Embeddings on the unit sphere, and the triplet loss (FaceNet)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

MARGIN = 0.2  # in squared distance


def on_unit_sphere(x: Float[Array, "batch features"]) -> Float[Array, "batch features"]:
    """Normalises vectors to length one."""
    return x * jax.lax.rsqrt(jnp.sum(x**2, axis=1, keepdims=True) + 1e-12)


def squared_distances(
    a: Float[Array, "first features"], b: Float[Array, "second features"]
) -> Float[Array, "first second"]:
    """Computes pairwise squared distances of unit vectors."""
    return 2 - 2 * a @ b.T


def between(
    a: Float[Array, "... features"], b: Float[Array, "... features"], share: Float[Array, "..."]
) -> Float[Array, "... features"]:
    """Interpolates from a to b along the great circle (slerp); ``share`` broadcasts."""
    angle = jnp.arccos(jnp.clip(jnp.sum(a * b, axis=-1, keepdims=True), -1 + 1e-6, 1 - 1e-6))
    return (jnp.sin((1 - share) * angle) * a + jnp.sin(share * angle) * b) / jnp.sin(angle)


def triplet_loss(
    embeddings: Float[Array, "batch features"], labels: Int[Array, " batch"], *, copies: Bool[Array, "batch batch"]
) -> Float[Array, " batch"]:
    """Computes FaceNet's semi-hard triplet loss of each anchor over its positives.

    Zero for an anchor without positive or negative.

    Args:
      embeddings: unit vectors.
      copies: true for pairs of the same image, which are no positives.
    """
    distance = jnp.maximum(squared_distances(embeddings, embeddings), 0)
    same = labels[:, None] == labels[None]
    positive = same & ~copies & jnp.any(~same, axis=1, keepdims=True)
    farther = ~same[:, None, :] & (distance[:, None, :] > distance[:, :, None])
    nearest_farther = jnp.min(jnp.where(farther, distance[:, None, :], jnp.inf), axis=2)
    farthest = jnp.max(jnp.where(same, 0.0, distance), axis=1, keepdims=True)
    negative = jnp.where(jnp.isfinite(nearest_farther), nearest_farther, farthest)
    losses = jnp.maximum(distance - negative + MARGIN, 0) * positive
    return jnp.sum(losses, axis=1) / jnp.maximum(jnp.sum(positive, axis=1), 1)
