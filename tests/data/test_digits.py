import numpy as np
import pytest
from image_helpers import images_of
from sklearn.datasets import load_digits

from pixelcnn_jax.data.loading import load
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.inputs import ImageSpec

TARGETS = load_digits().target


@pytest.mark.parametrize(
    ("split", "rows"),
    [
        ("train", slice(0, 1000)),
        ("validation", slice(1000, 1350)),
        ("test", slice(1350, 1797)),
        ("all", slice(0, 1797)),
        ("test[:1%]", slice(1350, 1354)),  # 4.47 images
        ("validation where label is 3 or 5", 1000 + np.flatnonzero(np.isin(TARGETS[1000:1350], [3, 5]))),
    ],
)
def test_splits_are_parts_of_the_file(split, rows):
    digits = load("digits", split, labels=True)
    assert len(digits) == len(TARGETS[rows])
    assert digits.spec == ImageSpec(8, 8, 1, 17, 10)
    assert digits.description == f"digits {split}"
    assert np.array_equal(images_of(digits)[..., 0], load_digits().images[rows])
    assert np.array_equal(digits.labels(), TARGETS[rows])


def test_refusals():
    with pytest.raises(InputError, match=r'"trian".*train, validation, test, all'):
        load("digits", "trian")
    with pytest.raises(InputError, match=r"levels=20.*17"):
        load("digits", "train", levels=20)
