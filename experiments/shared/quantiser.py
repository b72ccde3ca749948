"""A vector quantiser by k-means of patches, which turns an image into a map of codes and back."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from pixelcnn_jax.data.dataset import Dataset, take_images
from pixelcnn_jax.models.inputs import Images

LEARNED_FROM = 2000  # images whose patches the quantiser is fitted to

Codes = Int[Array, "batch rows columns 1"]
Patches = Float[Array | np.ndarray, "codes numbers"]  # the patch that each code stands for


def patches_of(images: Images, size: int, levels: int) -> Float[Array, "batch rows columns numbers"]:
    """Returns adjacent patches, in intensities from 0 to 1."""
    batch, height, width, channels = images.shape
    cut = (images / (levels - 1)).reshape(batch, height // size, size, width // size, size, channels)
    return jnp.moveaxis(cut, 2, 3).reshape(batch, height // size, width // size, -1)


def codes_of(images: Images, known: Patches, levels: int) -> Codes:
    """Returns the number of the nearest known patch to each patch of images."""
    size = round((known.shape[1] / images.shape[3]) ** 0.5)
    patches = patches_of(images, size, levels)
    distances = jnp.sum(known**2, axis=1)[None, None, None] - 2 * patches @ known.T
    return jnp.argmin(distances, axis=-1)[..., None].astype(jnp.int32)


def images_of(codes: Codes, known: Patches, channels: int) -> Float[Array, "batch height width channels"]:
    """Returns images put together from the patches that codes stand for, in intensities from 0 to 1."""
    batch, rows, columns, _ = codes.shape
    size = round((known.shape[1] / channels) ** 0.5)
    patches = jnp.asarray(known)[codes[..., 0]].reshape(batch, rows, columns, size, size, channels)
    return jnp.moveaxis(patches, 3, 2).reshape(batch, rows * size, columns * size, channels)


def fit_patches(images: Dataset, size: int, *, count: int, seed: int) -> Patches:
    """Returns the centres of k-means of patches."""
    from sklearn.cluster import MiniBatchKMeans

    few = take_images(images, min(len(images), LEARNED_FROM))
    patches = np.asarray(patches_of(few, size, images.spec.levels))
    numbers = patches.reshape(-1, patches.shape[-1])
    fitted = MiniBatchKMeans(count, random_state=seed, n_init=1, batch_size=4096).fit(numbers)
    return fitted.cluster_centers_.astype(np.float32)
