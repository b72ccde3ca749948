"""A vector quantiser: k-means of patches."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from pixelcnn_jax.data.dataset import Dataset, take_images
from pixelcnn_jax.models.inputs import Images

LEARNED_FROM = 2000  # images to fit

Codes = Int[Array, "batch rows columns 1"]
Patches = Float[Array | np.ndarray, "codes numbers"]  # one patch per code


def patches_of(images: Images, size: int, levels: int) -> Float[Array, "batch rows columns numbers"]:
    """Cuts images into adjacent patches, with intensities in [0, 1]."""
    batch, height, width, channels = images.shape
    cut = (images / (levels - 1)).reshape(batch, height // size, size, width // size, size, channels)
    return jnp.moveaxis(cut, 2, 3).reshape(batch, height // size, width // size, -1)


def codes_of(images: Images, known: Patches, levels: int) -> Codes:
    """Encodes each patch as the index of the nearest known patch."""
    size = round((known.shape[1] / images.shape[3]) ** 0.5)
    patches = patches_of(images, size, levels)
    distances = jnp.sum(known**2, axis=1)[None, None, None] - 2 * patches @ known.T
    return jnp.argmin(distances, axis=-1)[..., None].astype(jnp.int32)


def images_of(codes: Codes, known: Patches, channels: int) -> Float[Array, "batch height width channels"]:
    """Decodes codes to images, with intensities in [0, 1]."""
    batch, rows, columns, _ = codes.shape
    size = round((known.shape[1] / channels) ** 0.5)
    patches = jnp.asarray(known)[codes[..., 0]].reshape(batch, rows, columns, size, size, channels)
    return jnp.moveaxis(patches, 3, 2).reshape(batch, rows * size, columns * size, channels)


def fit_patches(images: Dataset, size: int, *, count: int, seed: int) -> Patches:
    """Fits k-means to patches."""
    from sklearn.cluster import MiniBatchKMeans

    few = take_images(images, min(len(images), LEARNED_FROM))
    patches = np.asarray(patches_of(few, size, images.spec.levels))
    numbers = patches.reshape(-1, patches.shape[-1])
    fitted = MiniBatchKMeans(count, random_state=seed, n_init=1, batch_size=4096).fit(numbers)
    return fitted.cluster_centers_.astype(np.float32)
