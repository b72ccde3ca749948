import numpy as np
import PIL.Image
import pytest
from array_sets import from_array
from image_helpers import images_of, ramp

from pixelcnn_jax.data.batches import training_batches
from pixelcnn_jax.data.loading import load
from pixelcnn_jax.data.preparation import Preparation
from pixelcnn_jax.foundation.errors import InputError


def test_resizing_takes_the_mean_of_the_centre():
    image = ramp(1, height=6, width=12, channels=5)
    halved = from_array(image, levels=256, resize=3)
    assert np.abs(images_of(halved)[0] - image[0, :, 3:9].reshape(3, 2, 3, 2, 5).mean((1, 3))).max() <= 0.5
    assert halved.description == "array, resized to 3x3"
    enlarged = images_of(from_array(image, levels=256, resize=12))[0]
    assert np.array_equal(enlarged, image[0, :, 3:9].repeat(2, 0).repeat(2, 1))


def test_grey_is_the_luma_of_pillow():
    colours = np.random.default_rng(0).integers(0, 256, (3, 128, 128, 3), np.uint8)
    grey = from_array(colours, levels=256, grey=True)
    assert grey.spec.shape == (128, 128, 1)
    assert grey.description == "array, grey"
    pillows = [np.asarray(PIL.Image.fromarray(image).convert("L")) for image in colours]
    assert np.array_equal(images_of(grey)[..., 0], pillows)
    assert np.array_equal(images_of(from_array(colours[..., :1], levels=256, grey=True)), colours[..., :1])
    with pytest.raises(InputError, match=r"^grey needs"):
        images_of(from_array(colours[..., :2], levels=256, grey=True))


def test_fewer_bits():
    dataset = from_array(ramp(3), levels=256, bits=3)
    assert (dataset.spec.levels, dataset.description) == (8, "array, reduced to 3 bits")
    assert np.array_equal(images_of(dataset), ramp(3) // 32)


def test_inverting_comes_before_binarising():
    dataset = from_array(ramp(3), levels=256, invert=True)
    assert np.array_equal(images_of(dataset), 255 - ramp(3).astype(int))
    assert dataset.description == "array, inverted"
    few = from_array(np.arange(5).reshape(5, 1, 1, 1), levels=5, invert=True)
    assert images_of(few).ravel().tolist() == [*range(4, -1, -1)]
    assert Preparation(levels=17, invert=True).steps(256)["inverted"](np.uint8(3)) == 13  # of files that hold levels
    black = from_array(ramp(3), levels=256, invert=True, binarize="threshold")
    assert np.array_equal(images_of(black), 255 - ramp(3).astype(int) >= 128)


def test_the_order_of_the_scan():
    image = ramp(2, height=6, width=12, channels=3)
    columns = from_array(image, levels=256, scan="columns")
    assert columns.spec.shape == (12, 6, 3)
    assert columns.description == "array, scan=columns"
    assert np.array_equal(images_of(columns), image.swapaxes(1, 2))
    assert np.array_equal(images_of(from_array(image, levels=256, scan="backwards")), image[:, ::-1, ::-1])


@pytest.mark.parametrize(("levels", "threshold"), [(256, 128), (17, 9)])
def test_binarising_at_a_threshold(levels, threshold):
    pixels = ramp(3).astype(int) % levels
    dataset = from_array(pixels, levels=levels, binarize="threshold")
    assert (dataset.spec.levels, dataset.description) == (2, f"array, binarised at {threshold}")
    assert np.array_equal(images_of(dataset), pixels >= threshold)


def test_dynamic_binarisation_draws_each_value_with_its_probability():
    """Value v is 1 with probability v/16: over 25 draws of 1,024 pixels each, within 5 standard deviations."""
    values = np.arange(17)
    pixels = np.tile(values[:, None, None], (1, 32, 32))
    dataset = from_array(pixels, values, levels=17, binarize="dynamic")
    assert (dataset.spec.levels, dataset.description) == (2, "array, binarised at random")
    batch = training_batches(dataset, batch_size=17, seed=0)
    draws = np.stack([drawn["image"][np.argsort(drawn["label"])] for drawn in map(batch, range(25))])
    assert np.isin(draws, [0, 1]).all()
    p = values / 16
    assert (np.abs(draws.mean((0, 2, 3, 4)) - p) <= 5 * np.sqrt(p * (1 - p) / (25 * 1024))).all()
    assert not np.array_equal(draws[0], draws[1])  # drawn again in each epoch
    evaluated = images_of(dataset)
    assert np.array_equal(evaluated, images_of(dataset))  # but always the same in evaluation
    assert 0 < evaluated[8].mean() < 1


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"bits": 3, "binarize": "threshold"}, "bits"),
        ({"bits": 3, "levels": 17}, "bits"),  # 8-bit images alone have bits to lose
        ({"levels": 16}, "images"),
        ({"height": 4}, "resize"),
        ({"binarize": "threshold", "invert": True}, "binarize"),  # all of it is black
        ({"binarize": "threshold", "levels": 17, "invert": True}, "white"),
        ({"binarize": "dynamic", "levels": 17}, "binarize"),  # 0 and 1 already
    ],
)
def test_refusals(options, field):
    images = ramp(3) if field == "images" else 255 - ramp(3) % 2
    images = ramp(3) % 2 if options.get("levels") == 17 else images
    with pytest.raises(InputError, match=field):
        from_array(images, **({"levels": 256} | options))


def positions(height, width):
    """An image whose values name their pixel."""
    return np.arange(height * width, dtype=np.uint16).reshape(height, width, 1)


def test_a_grid_covers_an_image_and_its_remainder():
    grid = from_array(positions(7, 10)[None], levels=70, patch=4)
    assert (grid.spec.shape, grid.description) == ((4, 4, 1), "array, patches of 4x4")
    expected = [positions(7, 10)[top : top + 4, left : left + 4] for top in (0, 3) for left in (0, 4, 6)]
    np.testing.assert_array_equal(images_of(grid), expected)
    assert len(from_array(positions(4, 4)[None], levels=70, patch=4)) == 1


def test_crops_are_drawn_anywhere():
    images = np.stack([positions(9, 6), 54 + positions(9, 6)])
    grid = from_array(images, np.arange(2), levels=108, patch=4)
    batches = [*map(training_batches(grid, batch_size=6, seed=0), range(100))]
    crops, labels = (np.concatenate([batch[name] for batch in batches]) for name in ("image", "label"))
    corners, counts = np.unique(crops[:, 0, 0, 0], return_counts=True)
    assert corners.tolist() == [54 * i + 6 * top + left for i in (0, 1) for top in range(6) for left in range(3)]
    assert counts.min() > 3  # of 17 on average
    np.testing.assert_array_equal(crops, crops[:, :1, :1] + positions(9, 6)[:4, :4])
    np.testing.assert_array_equal(labels, crops[:, 0, 0, 0] // 54)


def test_patches_of_a_file_are_in_its_split(tmp_path):
    for i, size in enumerate([(8, 8), (9, 20), (8, 12), (2, 8, 8)]):  # the last is a stack of two images
        np.save(tmp_path / f"{i}.npy", np.full(size, i))
    for split, values in (("all[:50%]", [0] + [1] * 6), ("all[50%:]", [2, 2, 3, 3])):
        patches = load("folder", split, data_dir=tmp_path, levels=2**16, patch=8, scan="columns")
        assert images_of(patches)[:, 0, 0, 0].tolist() == values
    with pytest.raises(InputError, match=r"0\.npy has 8x8 pixels, less than a patch of 9x9"):
        load("folder", "all", data_dir=tmp_path, levels=2**16, patch=9)
    with pytest.raises(InputError, match=r"3\.npy/0 of .* the value 3, above levels=3"):
        images_of(load("folder", "all", data_dir=tmp_path, levels=3, patch=8))
