"""scikit-learn's handwritten digits: 1797 images of 8x8 pixels with 17 levels, which need no download."""

import numpy as np

from pixelcnn_jax.data.arrays import array_source
from pixelcnn_jax.data.source import Source
from pixelcnn_jax.data.splits import Split

LEVELS = 17
SPLITS = {"train": range(1000), "validation": range(1000, 1350), "test": range(1350, 1797), "all": range(1797)}


def read_digits(split: Split, *, labels: bool) -> Source:
    """Returns a split of the digits, in the order of the file and with the parts of Tomczak.

    Raises:
      InputError: if there is no such split.
    """
    from sklearn.datasets import load_digits

    split.check_name("digits", SPLITS)
    digits, part = load_digits(), SPLITS[split.name]
    labels_of_all = digits.target if labels else None
    source = array_source("digits", digits.images.astype(np.uint8), labels_of_all, levels=LEVELS, classes=10)
    classes = digits.target[part].tolist(), [str(digit) for digit in range(10)]
    return source._replace(rows=[part[row] for row in split.rows(len(part), {"label": lambda: classes})])
