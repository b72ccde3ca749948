"""Square patches of images that are larger than a network is trained on."""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Int

from pixelcnn_jax.data.dataset import Dataset
from pixelcnn_jax.data.source import Example
from pixelcnn_jax.foundation.errors import InputError


def grid_corners(shape: tuple[int, ...], size: tuple[int, int], *, name: str) -> Int[np.ndarray, "patches 2"]:
    """Lays a grid of patches over an image; the last of a row or a column ends at the border and may overlap.

    Args:
      shape: height and width of the image, and its channels.
      size: height and width of a patch.
      name: what errors call the image.

    Returns:
      The top and the left of each patch, in raster order.

    Raises:
      InputError: for an image smaller than a patch.
    """
    if shape[0] < size[0] or shape[1] < size[1]:
        raise InputError(f"{name} has {shape[0]}x{shape[1]} pixels, less than a patch of {size[0]}x{size[1]}: omit it.")
    tops, lefts = ([*range(0, shape[i] - size[i], size[i]), shape[i] - size[i]] for i in (0, 1))
    return np.array([(top, left) for top in tops for left in lefts])


def with_patches(images: Dataset, side: int, *, name: Callable[[int], str]) -> Dataset:
    """Cuts images into the patches of a grid; in training, ``get`` draws a patch anywhere in the same image instead.

    Reads every image once, for its size.

    Args:
      images: whole images, of any sizes.
      side: height and width of a patch.
      name: what errors call an image, by index.

    Raises:
      InputError: for an image smaller than a patch.
    """
    grids = [grid_corners(example["image"].shape, (side, side), name=name(i)) for i, example in enumerate(images)]
    cells = np.concatenate([np.insert(grid, 0, i, axis=1) for i, grid in enumerate(grids)])  # image, top and left

    def example(index: int) -> Example:
        number, *corner = cells[index].tolist()
        return images.example(number) | {"corner": corner}

    spec = dataclasses.replace(images.spec, height=side, width=side)
    title = f"{images.description}, patches of {side}x{side}"
    return dataclasses.replace(images, example=example, count=len(cells), spec=spec, description=title)
