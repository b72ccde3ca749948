"""Choices by the pixels of an image, whatever its batch."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Integer, UInt32

from pixelcnn_jax.models.inputs import Images


def fingerprint(images: Images) -> UInt32[Array, " batch"]:
    """Hashes each image, to seed draws independently of the batch."""
    flat = jnp.asarray(images).reshape(len(images), -1).astype(jnp.uint32)
    weights = np.random.default_rng(0).integers(2**32, size=(1, flat.shape[1]), dtype=np.uint32)
    return jnp.sum(flat * weights, axis=1, dtype=jnp.uint32)  # modulo 2**32


def index_of_different_image(
    images: Images, pool: Integer[Array | np.ndarray, "pool height width channels"]
) -> UInt32[Array, " batch"]:
    """Picks for each image a different one of the pool; any if there is none."""
    hashes, pool_hashes = fingerprint(images), fingerprint(pool)
    places = (hashes[:, None] + jnp.arange(len(pool), dtype=jnp.uint32)[None]) % len(pool)
    first = jnp.argmax(pool_hashes[places] != hashes[:, None], axis=1)
    return jnp.take_along_axis(places, first[:, None], axis=1)[:, 0]
