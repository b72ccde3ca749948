"""Image files as levels: fitted as training fitted them, or exactly."""

import json

import numpy as np
import pytest
from PIL import Image

from pixelcnn_jax import GatedPixelCNN, InputError, bits_per_dim, load_pretrained
from pixelcnn_jax.cli.image_levels import find_images, read_exact, read_fitted, read_patches, reoriented, to_pixels
from pixelcnn_jax.cli.options import Density
from pixelcnn_jax.data.image_files import decode
from pixelcnn_jax.data.loading import load
from pixelcnn_jax.data.pictures import as_levels, png_bits_per_dim
from pixelcnn_jax.models.inputs import ImageSpec

COUNTS = np.random.default_rng(0).integers(300, size=(2, 4, 6)).astype(np.uint16)


def density(levels, *, size=16, channels=1, **data):
    spec = ImageSpec(size, size, channels, levels)
    config = {"data": {"dataset": "mnist", "bits": None, "binarize": "none", "invert": False} | data}
    model = GatedPixelCNN(levels=levels, channels=channels)
    return Density("a model", model, {}, {"image_spec": spec, "config": config})


def test_an_image_is_read_as_training_read_it(tmp_path, capsys):
    pixels = np.arange(256).reshape(16, 16, 1)
    Image.fromarray(pixels[..., 0].astype(np.uint8)).save(tmp_path / "1.png")
    for model, expected in (
        (density(8, bits=3), pixels >> 5),
        (density(256, invert=True), 255 - pixels),
        (density(17, dataset="digits", invert=True), 16 - as_levels(pixels.astype(np.uint8), levels=17)),
        (density(2, binarize="threshold"), pixels >= 128),
        (density(2, dataset="digits", binarize="threshold"), as_levels(pixels.astype(np.uint8), levels=17) >= 9),
        (density(2, dataset="digits", invert=True, binarize="threshold"), pixels < 120),
        (density(256, dataset="folder"), pixels),
        (density(256, dataset="folder", resize=16, height=16), pixels),
    ):
        np.testing.assert_array_equal(read_fitted(tmp_path / "1.png", model), expected)
    with pytest.raises(InputError, match=r"1\.png must hold integers 0 to 16"):
        read_fitted(tmp_path / "1.png", density(17, dataset="folder"))
    assert capsys.readouterr().err == ""
    Image.fromarray((pixels[..., 0] % 2).astype(np.uint8)).save(tmp_path / "2.png")
    assert not read_fitted(tmp_path / "2.png", density(2, binarize="threshold")).any()
    assert "2.png has no value above 1: if these are levels, save them as .npy" in capsys.readouterr().err


@pytest.mark.parametrize("size", [(9, 30), (64, 50)])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_is_cropped_and_resized_as_training_does(size, channels, tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)).save(tmp_path / "1.png")
    trained = load("folder", "all", data_dir=tmp_path, resize=16, grey=channels == 1)
    actual = read_fitted(tmp_path / "1.png", density(256, channels=channels))
    difference = actual.astype(int) - trained.example(0)["image"]
    assert abs(difference).max() <= (1 if channels == 1 else 0)  # grey before resizing or after: one rounding


def test_a_model_that_reads_columns_reads_the_columns_of_a_file(tmp_path):
    pixels = np.arange(32).reshape(8, 4).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "1.png")
    model = density(256, scan="columns")
    model = model._replace(card=model.card | {"image_spec": ImageSpec(4, 8, 1, 256)})
    np.testing.assert_array_equal(read_fitted(tmp_path / "1.png", model)[..., 0], pixels.T)


def test_files_of_a_folder_of_levels_are_levels(tmp_path):
    """In a folder of 0 .. 4 a pixel of 3 is level 3, in training as after it, and not the nearest of five greys."""
    pixels = np.arange(36, dtype=np.uint8).reshape(6, 6) % 5
    Image.fromarray(pixels).save(tmp_path / "1.png")
    levels = load("folder", "all", data_dir=tmp_path, levels=5).example(0)["image"]
    model = density(5, size=6, dataset="folder")
    np.testing.assert_array_equal(read_exact(tmp_path / "1.png", model), levels)
    np.testing.assert_array_equal(read_fitted(tmp_path / "1.png", model), levels)
    assert len(read_patches(tmp_path / "1.png", density(5, size=4, dataset="folder"))) == 4  # and not resized
    np.testing.assert_array_equal(to_pixels(levels, model)[..., 0], pixels)
    with pytest.raises(InputError, match=r"1\.png must hold integers 0 to 3"):
        read_exact(tmp_path / "1.png", density(4, size=6, dataset="folder"))


@pytest.mark.parametrize(
    ("levels", "data"),
    [(256, {"invert": True}), (5, {"scan": "columns"}), (256, {"invert": True, "scan": "backwards"})],
)
def test_an_image_is_kept_as_training_reads_it_and_given_back(levels, data, tmp_path):
    pixels = np.random.default_rng(0).integers(levels, size=(16, 16), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "1.png")
    model = density(levels, dataset="folder", **data)
    stored = read_exact(tmp_path / "1.png", model)
    kept = reoriented(stored, model)
    np.testing.assert_array_equal(kept, read_fitted(tmp_path / "1.png", model))
    np.testing.assert_array_equal(reoriented(kept, model), stored)


def test_a_model_whose_images_no_file_holds_and_a_value_between_two_levels_are_refused(tmp_path):
    for model in (density(256, channels=2), density(512, channels=3)):
        with pytest.raises(InputError, match="a model"):
            read_exact(tmp_path / "1.png", model)
    Image.fromarray(np.full((4, 8), 3, np.uint8)).save(tmp_path / "1.png")
    with pytest.raises(InputError, match=r"contains the value 3, .*cifar10"):
        read_exact(tmp_path / "1.png", density(17))


def test_counts_for_a_model_of_intensities_are_arrays(tmp_path):
    levels, model = np.arange(16, dtype=np.uint16).reshape(4, 4), density(17)
    Image.fromarray(levels).save(tmp_path / "1.png")
    np.save(tmp_path / "1.npy", levels)
    with pytest.raises(InputError, match=r"1\.png holds counts, and a model was trained on intensities: save it as"):
        read_exact(tmp_path / "1.png", model)
    Image.fromarray(levels * 18).save(tmp_path / "2.png")  # up to 270
    with pytest.raises(InputError, match=r"2\.png must hold integers 0 to 255"):
        read_fitted(tmp_path / "2.png", density(2, binarize="threshold"))
    np.testing.assert_array_equal(to_pixels(read_exact(tmp_path / "1.npy", model), model, "1.npy")[..., 0], levels)
    for highest in (1, 200):  # as a threshold leaves them, or found them
        np.save(tmp_path / "1.npy", highest * np.eye(16, dtype=np.uint16))
        seen = read_fitted(tmp_path / "1.npy", density(2, dataset="array", binarize="threshold"))
        assert (seen[..., 0] == np.eye(16)).all()


def test_an_image_of_counts_has_the_mean_score_of_its_patches(pixelcnn, saved, tmp_path):
    folder, file = saved(4, 4, 1, 300), tmp_path / "s.npy"
    np.save(file, COUNTS)
    _, row = json.loads(pixelcnn("score", folder, file, "--json"))
    model, variables, _ = load_pretrained(folder)
    patches = np.stack([COUNTS[1, :, :4, None], COUNTS[1, :, 2:, None]])
    bits = float(bits_per_dim(model, variables, patches).mean())
    png = np.mean([png_bits_per_dim(patch, levels=300) for patch in patches])
    assert row.pop("file") == "s.npy/1"
    assert row == pytest.approx({"bits_per_dim": bits, "less_png": bits - png}, rel=1e-5)
    np.save(file, COUNTS[:, :3])
    assert "s.npy/0 has 3x6 pixels, less than a patch of 4x4" in pixelcnn("score", folder, file, mistake=True)


def test_counts_are_given_back_as_pngs_or_arrays(pixelcnn, integer_form, saved, tmp_path):
    folder, out, model = tmp_path / "counts", tmp_path / "out", integer_form(saved(4, 4, 1, 300))
    folder.mkdir()
    first, second = map(Image.fromarray, COUNTS)
    first.save(folder / "p.tif", save_all=True, append_images=[second])
    first.save(folder / "q.png")
    np.save(folder / "a.npy", COUNTS[0])
    np.save(folder / "s.npy", COUNTS)
    pixelcnn("compress", model, folder, "-o", tmp_path / "x", "--no-verify")
    pixelcnn("decompress", model, tmp_path / "x", "-o", out)
    before, after = (find_images((place,)) for place in (folder, out))
    assert [*after] == ["a.npy", "p.tif/0.png", "p.tif/1.png", "q.png", "s.npy/0", "s.npy/1"]
    for one, other in zip(before.values(), after.values(), strict=True):
        np.testing.assert_array_equal(decode(one, colour=None), decode(other, colour=None))
    assert [*find_images((folder / "s.npy/1",))] == ["s.npy/1"]
