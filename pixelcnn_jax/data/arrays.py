"""NumPy arrays, .npz files and scikit-learn's digits."""

import pathlib
import sys

import numpy as np

from pixelcnn_jax.data.source import Example, Source
from pixelcnn_jax.data.splits import Split
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.checks import as_images, check_values
from pixelcnn_jax.models.inputs import MAX_CLASSES

DIGITS_LEVELS = 17
DIGITS = {"train": range(1000), "validation": range(1000, 1350), "test": range(1350, 1797), "all": range(1797)}


def array_source(title: str, images: np.ndarray, labels: np.ndarray | None, *, levels: int, classes: int) -> Source:
    """Builds a source from arrays.

    Args:
      title: name of the data set.
      images: integers 0 to levels - 1, [count, height, width] or [count, height, width, channels].
      labels: integers [count].
      levels: intensity levels; 2 for bool.
      classes: number of classes, of which labels are the index.

    Raises:
      InputError: for a wrong shape, type or range.
    """
    levels = 2 if images.dtype == bool else levels
    stored = np.asarray(as_images(images, channels=channels_of(images), levels=levels))
    stored = stored.astype(np.uint8 if levels <= 256 else np.uint16)
    if labels is not None:
        if np.shape(labels) != (len(stored),):
            raise InputError(f"labels must be integers [{len(stored)}], got shape {np.shape(labels)}.")
        check_values(labels, min(classes, MAX_CLASSES), name="labels")

    def read(row: int) -> Example:
        return {"image": stored[row]} | ({} if labels is None else {"label": np.int32(labels[row])})

    return Source(title, range(len(stored)), read, levels, None if labels is None else classes)


def channels_of(images: np.ndarray) -> int:
    """Reads the number of channels off the last of four axes. Warns if the second one looks like the channels."""
    channels = images.shape[3] if images.ndim == 4 else 1
    if channels > 4 and images.shape[1] in (1, 3):
        read = f"images of shape {[*images.shape]} have {channels} channels, those of the last axis"
        print(f"{read}: if the second axis is meant, use numpy.moveaxis(images, 1, -1).", file=sys.stderr)
    return channels


def read_arrays(split: Split, *, data_dir: str | None, labels: bool, levels: int) -> Source:
    """Reads a split from an .npz file.

    Args:
      split: NAME of the arrays NAME_image and NAME_label.
      data_dir: path of the file.

    Raises:
      InputError: for an unreadable file, or a missing split or labels.
    """
    path = pathlib.Path(data_dir or "").expanduser()
    try:
        with np.load(path) as file:
            names = [name.removesuffix("_image") for name in file.files if name.endswith("_image")]
            if not names:
                raise ValueError(f"it has {', '.join(file.files) or 'none'}")
            of_labels = [f"{name}_label" for name in names if labels or split.feature]
            arrays = {name: file[name] for name in (f"{split.name}_image", *of_labels) if name in file.files}
    except Exception as error:  # NumPy raises several types for files of a different format
        raise InputError(f"data_dir={data_dir} must be an .npz file of arrays such as train_image: {error}.") from error
    split.check_name(str(path), names)
    images, label_key = arrays.pop(f"{split.name}_image"), f"{split.name}_label"
    if labels and label_key not in arrays:
        raise InputError(f"{path} has no array {label_key}: add it or set labels=False.")
    for name, array in arrays.items():
        size = len(images) if name == label_key else array.size
        if array.dtype.kind not in "ui" or array.shape != (size,):
            raise InputError(f"{path}: {name} must be integers [{size}], got {array.dtype} {list(array.shape)}.")
    # Over all splits, so that labels agree.
    count = max((int(array.max(initial=0)) + 1 for array in arrays.values()), default=0)
    source = array_source(path.stem, images, arrays[label_key] if labels else None, levels=levels, classes=count)
    classes = {"label": lambda: (arrays[label_key].tolist(), [*map(str, range(count))])} if label_key in arrays else {}
    return source._replace(rows=split.rows(len(images), classes), stored=split.name)


def read_digits(split: Split, *, labels: bool) -> Source:
    """Reads a split of the digits, in file order with Tomczak's parts.

    Raises:
      InputError: for an unknown split.
    """
    from sklearn.datasets import load_digits

    split.check_name("digits", DIGITS)
    digits, part = load_digits(), DIGITS[split.name]
    labels_of_all = digits.target if labels else None
    source = array_source("digits", digits.images.astype(np.uint8), labels_of_all, levels=DIGITS_LEVELS, classes=10)
    classes = digits.target[part].tolist(), [str(digit) for digit in range(10)]
    return source._replace(rows=[part[row] for row in split.rows(len(part), {"label": lambda: classes})])
