"""Class labels as the condition h of a model."""

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from pixelcnn_jax.errors import InputError
from pixelcnn_jax.models.inputs import ImageSpec


def number_of_classes(spec: ImageSpec) -> int:
    """Returns the number of classes. Raises InputError for images without labels."""
    if spec.classes is None:
        raise InputError("config.data.labels must be True: this experiment learns from class labels.")
    return spec.classes


def one_hot(spec: ImageSpec, labels: Int[Array | np.ndarray, " batch"]) -> Float[Array, "batch classes"]:
    """Returns labels as vectors h. Raises InputError for images without labels."""
    return jax.nn.one_hot(labels, number_of_classes(spec))
