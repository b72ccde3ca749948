"""Class labels, which some experiments need."""

from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.inputs import ImageSpec


def number_of_classes(spec: ImageSpec) -> int:
    """Returns the number of classes. Raises InputError for images without labels."""
    if spec.classes is None:
        raise InputError("config.data.labels must be True: this experiment learns from class labels.")
    return spec.classes
