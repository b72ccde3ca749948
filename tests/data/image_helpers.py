"""Small images for the tests of data sets."""

import pathlib

import numpy as np
import PIL.Image

from pixelcnn_jax.data.dataset import read_all


def ramp(count, height=4, width=6, channels=1):
    """Images that differ in every pixel, below 256."""
    values = np.arange(count * height * width * channels) * 7 % 256
    return values.astype(np.uint8).reshape(count, height, width, channels)


def pillow(image):
    return PIL.Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def save(image, *path):
    file = pathlib.Path(*path)
    file.parent.mkdir(parents=True, exist_ok=True)
    image.save(file)


def images_of(dataset):
    return read_all(dataset)["image"]


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key]) for key in one)
