"""Files of counts in the commands: stacks, patches and arrays, scored and given back."""

import json

import numpy as np
import pytest
from PIL import Image

from pixelcnn_jax import bits_per_dim, load_pretrained
from pixelcnn_jax.data.pictures import png_bits_per_dim

COUNTS = np.random.default_rng(0).integers(300, size=(2, 4, 6)).astype(np.uint16)


@pytest.fixture(scope="module")
def counts_model(saved):
    return saved(4, 4, 1, 300)


@pytest.fixture
def counts(tmp_path):
    """A folder of each kind of file."""
    folder = tmp_path / "counts"
    folder.mkdir()
    first, second = map(Image.fromarray, COUNTS)
    first.save(folder / "p.tif", save_all=True, append_images=[second])
    first.save(folder / "q.png")
    np.save(folder / "a.npy", COUNTS[0])
    np.save(folder / "s.npy", COUNTS)
    return folder


def test_an_image_of_counts_has_the_mean_score_of_its_patches(pixelcnn, counts_model, counts):
    rows = json.loads(pixelcnn("score", counts_model, counts, "--json"))
    assert [row["file"] for row in rows] == ["a.npy", "p.tif/0", "p.tif/1", "q.png", "s.npy/0", "s.npy/1"]
    model, variables, _ = load_pretrained(counts_model)
    patches = COUNTS[1][None, :, [[0, 1, 2, 3], [2, 3, 4, 5]]].transpose(2, 1, 3, 0)  # [2 patches, 4, 4, 1]
    expected = np.asarray(bits_per_dim(model, variables, patches))
    for row in (rows[2], rows[5]):
        assert row["bits_per_dim"] == pytest.approx(expected.mean(), rel=1e-5)
        png = np.mean([png_bits_per_dim(patch, levels=300) for patch in patches])
        assert row["less_png"] == pytest.approx(expected.mean() - png, rel=1e-5)
    np.save(counts / "b.npy", COUNTS + 300)
    assert "b.npy/0 must hold integers 0 to 299" in pixelcnn("score", counts_model, counts, mistake=True)
    np.save(counts / "b.npy", COUNTS[0, :3])
    assert "b.npy has 3x6 pixels, less than a patch of 4x4" in pixelcnn("score", counts_model, counts, mistake=True)


def test_counts_are_given_back_as_pngs_or_arrays(pixelcnn, integer_form, counts_model, counts, tmp_path):
    model = integer_form(counts_model)
    pixelcnn("compress", model, counts, "-o", tmp_path / "x", "--no-verify")
    pixelcnn("decompress", model, tmp_path / "x", "-o", tmp_path / "out")
    files = sorted(file.relative_to(tmp_path / "out").as_posix() for file in (tmp_path / "out").rglob("*.*g"))
    assert files == ["p.tif/0.png", "p.tif/1.png", "q.png"]
    for file, expected in zip(files, (*COUNTS, COUNTS[0]), strict=True):
        np.testing.assert_array_equal(Image.open(tmp_path / "out" / file), expected)
    for name in ("a.npy", "s.npy"):
        np.testing.assert_array_equal(np.load(tmp_path / "out" / name), np.load(counts / name))
    pixelcnn("compress", model, counts / "s.npy/1", "-o", tmp_path / "y", "--no-verify")
    (tmp_path / "one").mkdir()
    pixelcnn("decompress", model, tmp_path / "y", "-o", tmp_path / "one")
    np.testing.assert_array_equal(np.load(tmp_path / "one/s.npy/1.npy"), COUNTS[1])


def test_counts_for_a_model_of_intensities_are_arrays(pixelcnn, tmp_path):
    Image.fromarray(COUNTS[0] % 17).save(tmp_path / "a.png")
    told = pixelcnn("compress", "digits", tmp_path / "a.png", "-o", tmp_path / "x", mistake=True)
    assert "a.png holds counts, and digits_integer was trained on intensities: save it as .npy" in told
    np.save(tmp_path / "a.npy", COUNTS[0] % 17)
    pixelcnn("compress", "digits", tmp_path / "a.npy", "-o", tmp_path / "x")
    pixelcnn("decompress", "digits", tmp_path / "x", "-o", tmp_path / "out")
    np.testing.assert_array_equal(np.load(tmp_path / "out/a.npy"), COUNTS[0] % 17)
    pattern = np.arange(784).reshape(28, 28) % 5 < 2  # of a model that thresholds its training images
    Image.fromarray(pattern).save(tmp_path / "b.png")
    np.save(tmp_path / "b.npy", pattern.astype(np.uint16))
    scored = pixelcnn("score", "mnist_classes", tmp_path / "b.png", tmp_path / "b.npy", "--label=1").splitlines()
    assert scored[1].split(",")[1] == scored[2].split(",")[1]
