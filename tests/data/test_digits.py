import numpy as np
import pytest
from image_helpers import images_of
from sklearn.datasets import load_digits

from pixelcnn_jax.data.dataset import load
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.inputs import ImageSpec


@pytest.mark.parametrize(
    ("split", "rows"),
    [
        ("train", slice(0, 1000)),
        ("validation", slice(1000, 1350)),
        ("test", slice(1350, 1797)),
        ("all", slice(0, 1797)),
        ("test[:1%]", slice(1350, 1354)),  # 4.47 images
    ],
)
def test_splits_are_parts_of_the_file(split, rows):
    digits = load("digits", split, labels=True)
    assert len(digits) == rows.stop - rows.start
    assert digits.spec == ImageSpec(8, 8, 1, 17, 10)
    assert digits.description == f"digits {split}"
    assert np.array_equal(images_of(digits)[..., 0], load_digits().images[rows])
    assert np.array_equal(digits.labels(), load_digits().target[rows])


def test_some_classes_keep_their_numbers():
    target = load_digits().target[1000:1350]
    digits = load("digits", "validation where label is 3 or 5", labels=True)
    wanted = np.isin(target, [3, 5])
    assert np.array_equal(digits.labels(), target[wanted])
    assert np.array_equal(images_of(digits)[..., 0], load_digits().images[1000:1350][wanted])
    assert digits.spec.classes == 10


def test_refusals():
    with pytest.raises(InputError, match=r'"trian".*train, validation, test, all'):
        load("digits", "trian")
    with pytest.raises(InputError, match=r"levels=20.*17"):
        load("digits", "train", levels=20)
