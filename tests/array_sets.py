"""Data sets of arrays, prepared as those of files are."""

from pixelcnn_jax.data.arrays import array_source
from pixelcnn_jax.data.loading import prepare_source
from pixelcnn_jax.data.preparation import Preparation
from pixelcnn_jax.foundation.fields import read_section


def from_array(images, labels=None, *, levels, classes=None, description="array", **options):
    preparation = read_section(Preparation, {"levels": levels, **options}, name="")
    classes = 0 if labels is None else classes or int(labels.max()) + 1
    return prepare_source(array_source(description, images, labels, levels=levels, classes=classes), preparation)
