"""scikit-learn's handwritten digits: 1797 images of 8x8 pixels with 17 levels, which need no download."""

import numpy as np

from pixelcnn_jax.data.arrays import array_source
from pixelcnn_jax.data.source import Source
from pixelcnn_jax.data.splits import Split

SPLITS = {"train": slice(1000), "validation": slice(1000, 1350), "test": slice(1350, None), "all": slice(None)}


def read_digits(split: Split, *, labels: bool) -> Source:
    """Returns a split of the digits, in the order of the file and with the parts of Tomczak.

    Raises:
      InputError: if there is no such split.
    """
    from sklearn.datasets import load_digits

    split.check_name("digits", SPLITS)
    digits, part = load_digits(), SPLITS[split.name]
    images, target = digits.images[part].astype(np.uint8), digits.target[part]
    source = array_source("digits", images, target if labels else None, levels=17, classes=10)
    rows = split.rows(len(images), {"label": lambda: (target.tolist(), [str(digit) for digit in range(10)])})
    return source._replace(rows=rows)
