"""Random flips and shifts of training images."""

import numpy as np

from pixelcnn_jax.data.indexed_images import random_generator


def augmented(image: np.ndarray, *, index: int, flip: bool, shift: int, seeds: list[int]) -> np.ndarray:
    """Mirrors half of the images, and translates by at most ``shift`` pixels, zero-padded.

    Args:
      index: of the image and its epoch.
      seeds: of flips and shifts.
    """
    flip_seed, shift_seed = seeds
    if flip and random_generator(flip_seed, index).random() < 0.5:
        image = image[:, ::-1]
    if not shift:
        return image
    down, right = random_generator(shift_seed, index).integers(0, 2 * shift, size=2, endpoint=True)
    bordered = np.zeros(np.add(image.shape, (2 * shift, 2 * shift, 0)), image.dtype)  # np.pad is ten times slower
    bordered[shift:-shift, shift:-shift] = image
    return bordered[down : down + image.shape[0], right : right + image.shape[1]]
