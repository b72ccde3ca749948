"""The codec: what comes out is what went in, or one sentence and nothing."""

import dataclasses
import errno
import json
import math
import subprocess
import sys
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from proofs import random_condition, random_images, randomised

from configs import base
from experiments import cli, complete, trained
from experiments import codec as command
from experiments.unconditional import make_experiment
from pixelcnn_jax import GatedPixelCNN, InputError, compress, decompress, log_prob, naive_sample, sample
from pixelcnn_jax.codec import coding as codec_module
from pixelcnn_jax.codec.coding import _digest_model
from pixelcnn_jax.codec.container import length_of, pack, unpack
from pixelcnn_jax.data.dataset import from_array
from pixelcnn_jax.data.image_files import as_pixels, read_image
from pixelcnn_jax.training.loop import Splits, train

ROOT = Path(__file__).parent.parent
GREY = GatedPixelCNN(levels=5, features=8, layers=2)


def build(model, h=0, s=0, scale=0.3):
    condition = random_condition((1, 3, 3), h, s)
    return randomised(model.init(jax.random.key(1), random_images(model, (1, 3, 3)), *condition), scale=scale)


@pytest.mark.parametrize(
    ("model", "shape", "batch_size"),
    [
        (GREY, (7, 6, 5), 3),
        (GREY, (1, 1, 1), 256),
        (GatedPixelCNN(levels=2, features=8, layers=2, kernel_size=5), (4, 3, 9), 4),
        (GatedPixelCNN(levels=256, channels=3, features=12, layers=1), (3, 4, 5), 2),
        (GatedPixelCNN(levels=65536, channels=2, features=8, layers=1), (2, 2, 2), 2),
        (GatedPixelCNN(levels=300, features=8, layers=1, code_features=4), (2, 3, 3), 1),
        (GatedPixelCNN(levels=9, features=8, layers=1, dtype=jnp.bfloat16), (2, 3, 3), 2),
    ],
)
def test_random_images_come_back(model, shape, batch_size):
    images = np.asarray(random_images(model, shape, key=3))
    variables = build(model)
    decoded = decompress(model, variables, compress(model, variables, images, batch_size=batch_size, verify=False))
    np.testing.assert_array_equal(decoded, images)
    assert decoded.dtype == (np.uint8 if model.levels <= 256 else np.uint16)


@pytest.mark.parametrize("level", [0, 4])
def test_constant_images_come_back(level):
    images, variables = np.full((3, 5, 4, 1), level), build(GREY)
    np.testing.assert_array_equal(decompress(GREY, variables, compress(GREY, variables, images)), images)


def test_h_and_s_are_needed_again():
    model = GREY.clone(channels=3, features=12)
    variables, condition = build(model, h=4, s=2), random_condition((5, 4, 3), 4, 2, key=8)
    images = np.asarray(random_images(model, (5, 4, 3), key=2))
    data = compress(model, variables, images, h=condition.h, s=condition.s, batch_size=2, verify=False)
    np.testing.assert_array_equal(decompress(model, variables, data, h=condition.h, s=condition.s), images)
    with pytest.raises(InputError, match="another h or s"):
        decompress(model, variables, data, h=condition.h + 1, s=condition.s)
    with pytest.raises(InputError, match="it needs h"):
        decompress(model, variables, data)


class Uniform(nn.Module):
    """Any module that maps images to logits will do."""

    levels: int = 4
    channels: int = 1
    activation: Callable[[Any], Any] = nn.relu

    @nn.compact
    def __call__(self, images):
        bias = self.param("bias", nn.initializers.normal(), (self.levels,))
        return jnp.zeros((*images.shape, self.levels)) + bias[None, None, None, None]


def test_a_model_without_remembered_steps_codes_too():
    model, images = Uniform(), np.asarray(random_images(Uniform(), (3, 4, 2)))
    variables = model.init(jax.random.key(0), images)
    np.testing.assert_array_equal(decompress(model, variables, compress(model, variables, images)), images)
    naive, cached = (draw(model, variables, jax.random.key(0), shape=(2, 3, 2)) for draw in (naive_sample, sample))
    np.testing.assert_array_equal(naive, cached)


@pytest.mark.usefixtures("unchecked_shapes")
def test_levels_that_the_format_does_not_hold_are_refused():
    model = Uniform(levels=70_000)
    images = np.full((1, 2, 2, 1), 69_999)
    with pytest.raises(InputError, match="2 to 65536 levels, not 70000"):
        compress(model, model.init(jax.random.key(0), images), images)


def test_a_module_is_the_same_in_another_process():
    code = "from test_codec import Uniform, _digest_model; print(_digest_model(Uniform()).hex())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT / "tests", capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == _digest_model(Uniform()).hex()


def test_bytes_are_within_a_hundredth_of_the_models_own_bits():
    model = GatedPixelCNN(levels=2, features=8, layers=2)
    variables = build(model)
    images = np.asarray(sample(model, variables, jax.random.key(5), shape=(800, 12, 12)))
    data = compress(model, variables, images, batch_size=400, verify=False)
    ideal = -float(log_prob(model, variables, images).sum()) / math.log(2) / 8
    assert ideal < len(data) < 1.01 * ideal + 130


@pytest.fixture(scope="module")
def small():
    """A model, its variables, images, and the images compressed."""
    variables, images = build(GREY), np.asarray(random_images(GREY, (2, 4, 3), key=3))
    return GREY, variables, images, compress(GREY, variables, images)


def test_a_stream_cut_short_is_refused(small):
    model, variables, _, data = small
    for length in range(len(data)):
        with pytest.raises(InputError, match="damaged"):
            decompress(model, variables, data[:length])
    with pytest.raises(InputError, match="damaged"):
        decompress(model, variables, data + b"\0")


def test_a_flipped_bit_is_refused(small):
    model, variables, _, data = small
    generator = np.random.default_rng(0)
    for bit in generator.integers(0, 8 * len(data), 1000):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InputError):
            decompress(model, variables, bytes(damaged))


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("model", bytes(8), "another model"),
        ("weights", bytes(8), "other weights"),
        ("pixels", bytes(8), "What comes out is not what was compressed"),
        ("words", b"\xff\xff\xff\xff" * 3, "What comes out is not what was compressed"),
        ("words", b"", "What comes out is not what was compressed"),
        ("jax", "0.4.1", "with jax 0.4.1, but this is jax"),
        ("jaxlib", "0.4.1", "jaxlib"),
        ("platform", "tpu", "with platform tpu"),
        ("dtype", "bfloat16", "dtype"),
        ("levels", 6, "channels and levels"),
        ("shape", (2, 4, 3, 2), "channels and levels"),
        ("shape", (2**31, 2**31, 1, 1), "sub-pixels"),
        ("shape", (0, 4, 3, 1), "nothing to code"),
        ("batch_size", 2**31, "too large"),
        ("shape", (1, 1, 2**27, 1), "too large"),
    ],
)
def test_what_does_not_match_is_refused(small, field, value, told):
    """Well-formed containers, with checksums that match, that declare something else."""
    model, variables, _, data = small
    changed = pack(dataclasses.replace(unpack(data), **{field: value}))
    with pytest.raises(InputError, match=told):
        decompress(model, variables, changed)


def test_another_version_and_other_bytes_are_refused(small):
    model, variables, _, data = small
    with pytest.raises(InputError, match="version 2 of the format"):
        decompress(model, variables, data[:8] + b"\2\0" + data[10:])
    with pytest.raises(InputError, match="no images compressed by"):
        decompress(model, variables, b"\x89PNG" + data)
    with pytest.raises(InputError, match="more than 23 sub-pixels"):
        decompress(model, variables, data, max_subpixels=23)


def test_other_weights_and_models_are_refused(small):
    model, variables, _, data = small
    with pytest.raises(InputError, match="other weights"):
        decompress(model, jax.tree.map(lambda x: x.at[(0,) * x.ndim].add(1e-6), variables), data)
    other = model.clone(features=9)
    with pytest.raises(InputError, match="another model"):
        decompress(other, build(other), data)
    trained_with_dropout = model.clone(dropout=0.5)
    assert decompress(trained_with_dropout, variables, data).shape == (2, 4, 3, 1)


def test_probabilities_of_another_machine_are_found_out(small, monkeypatch):
    """Another rounding: what the header cannot tell, and the digest of the pixels must."""
    model, variables, images, _ = small
    original = codec_module._tables

    def otherwise(*args):
        tables, values = original(*args), None
        while True:
            table = tables.send(values)
            values = yield np.roll(table, 1, axis=-1) if otherwise.on else table

    monkeypatch.setattr(codec_module, "_tables", otherwise)
    otherwise.on = False
    data = compress(model, variables, images)
    otherwise.on = True
    with pytest.raises(InputError, match="this machine computes other probabilities"):
        decompress(model, variables, data)


@pytest.mark.parametrize(
    ("images", "told"),
    [
        (np.full((1, 2, 2, 1), 5), "from 5 to 5"),
        (np.zeros((1, 2, 2, 1)), "integers"),
        (np.zeros((1, 2, 2, 3), int), "must be"),
        (np.zeros((0, 2, 2, 1), int), "nothing to code"),
    ],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_what_cannot_be_compressed_is_refused(images, told):
    with pytest.raises(InputError, match=told):
        compress(GREY, build(GREY), images)


# The commands


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A run of a few steps, on colour images of 4 levels."""
    root = tmp_path_factory.mktemp("codec")
    generator = np.random.default_rng(0)
    images = from_array(generator.integers(0, 4, (40, 6, 5, 3)), levels=4)
    config = base.get_config()
    config.update_from_flattened_dict(
        {"steps": 2, "levels": 4, "model.features": 12, "model.layers": 1, "sample_rows": 1, "augment": 0.5}
        | {"batch_size": 8, "eval_batch_size": 8, "sample_columns": 1}
    )
    splits = Splits(images, images)
    train(config, make_experiment(config, splits), splits, root / "run")
    return root / "run"


@pytest.fixture
def folder(tmp_path):
    """Images of two sizes, in folders, as a model of 4 levels could have drawn them."""
    generator = np.random.default_rng(1)
    for name, size in (("one.png", (6, 5)), ("in/two.png", (6, 5)), ("in/deep/three.bmp", (2, 7))):
        file = tmp_path / "images" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(as_pixels(generator.integers(0, 4, (*size, 3)), levels=4)).save(file)
    return tmp_path / "images"


def test_files_come_back_from_another_process(workdir, folder, tmp_path, capsys):
    line = [sys.executable, "-m", "experiments.codec", "compress", f"--workdir={workdir}", f"--output={tmp_path / 'x'}"]
    done = subprocess.run([*line, folder], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1])["images"] == 3
    assert not done.stderr
    command.main(["decompress", f"--workdir={workdir}", f"--output={tmp_path / 'out'}", str(tmp_path / "x")])
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["bytes"] == (tmp_path / "x").stat().st_size
    for name in ("one.png", "in/two.png", "in/deep/three.bmp"):
        with Image.open(folder / name) as before, Image.open((tmp_path / "out" / name).with_suffix(".png")) as after:
            np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda folder: (folder / "one.png").write_bytes(b"no image"), "one.png cannot be read"),
        (lambda folder: Image.new("L", (5, 6)).save(folder / "grey.png"), "Pillow's mode L"),
        (lambda folder: Image.new("RGBA", (5, 6)).save(folder / "clear.png"), "Pillow's mode RGBA"),
        (lambda folder: Image.new("RGB", (5, 6), (9, 0, 0)).save(folder / "nine.png"), "holds the value 9"),
        (lambda folder: Image.new("RGB", (5, 6)).save(folder / "one.bmp"), "would both become one.png"),
        (lambda folder: [f.unlink() for f in folder.rglob("*.*")], "holds no images"),
        (lambda folder: (folder / "one.png").rename(folder / "o:ne.png"), "'o:ne.png', which is no name.*; rename"),
        (lambda folder: (folder / "one.png").rename(folder / f"{220 * 'x'}.png"), "which is no name of a PNG"),
        (lambda folder: (folder.parent / "x").write_text(""), "is there already"),
    ],
)
def test_files_that_cannot_be_kept_are_refused(workdir, folder, tmp_path, spoil, told, capsys):
    spoil(folder)
    with pytest.raises(SystemExit, match=told):
        command.main(["compress", f"--workdir={workdir}", f"--output={tmp_path / 'x'}", str(folder)])


@pytest.mark.parametrize(
    "facts",
    [
        *(
            {"names": [name]}
            for name in ("../x.png", "/x.png", "x", "x.jpg", ".png", "a\\\\x.png", "a\0.png", "\ud800.png")
        ),
        {"names": []},
        {"names": ["x.png"], "parts": 2},
        {"names": ["x.png"], "part": 1},
        {"names": 3},
        {},
        [],
    ],
)
def test_a_file_that_lies_about_its_names_is_refused(workdir, tmp_path, facts):
    model, variables, *_ = trained.load(workdir)
    facts = {"part": 0, "parts": 1} | facts if isinstance(facts, dict) else facts
    extra = zlib.compress(json.dumps(facts).encode())
    (tmp_path / "x").write_bytes(compress(model, variables, np.zeros((1, 2, 2, 3), int), verify=False, extra=extra))
    with pytest.raises(SystemExit, match=r"error: .*x cannot be decompressed"):
        command.main(["decompress", f"--workdir={workdir}", f"--output={tmp_path / 'out'}", str(tmp_path / "x")])
    assert not (tmp_path / "out").exists()


def test_names_that_take_too_much_are_refused_before_they_are_written(workdir, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "MAX_NAMES", 40)
    with pytest.raises(SystemExit, match=r"names of . images take .* more than 40"):
        command.main(["compress", f"--workdir={workdir}", f"--output={tmp_path / 'x'}", str(folder)])
    assert not (tmp_path / "x").exists()


def test_images_appear_when_all_are_written(workdir, folder, tmp_path, monkeypatch):
    packed, out = tmp_path / "x", tmp_path / "out"
    command.main(["compress", f"--workdir={workdir}", f"--output={packed}", "--no_verify", str(folder)])
    line = ["decompress", f"--workdir={workdir}", f"--output={out}", str(packed)]
    written, original = [], command.write_image

    def full(file, pixels):
        original(file, pixels)
        written.append(file)
        if len(written) == 2:
            raise OSError(errno.ENOSPC, "No space left on device", str(file))

    monkeypatch.setattr(command, "write_image", full)
    with pytest.raises(SystemExit, match="No space left"):
        command.main(line)
    assert not list(out.iterdir())
    monkeypatch.undo()
    command.main(line)
    assert sorted(path.name for path in out.rglob("*.png")) == ["one.png", "three.png", "two.png"]


def test_a_file_cut_between_two_sizes_is_refused(workdir, folder, tmp_path, capsys):
    whole, cut, out = tmp_path / "whole", tmp_path / "cut", tmp_path / "out"
    command.main(["compress", f"--workdir={workdir}", f"--output={whole}", "--no_verify", str(folder)])
    data = whole.read_bytes()
    for content in (data[: length_of(data)], b"", data[length_of(data) :]):
        cut.write_bytes(content)
        with pytest.raises(SystemExit, match="cut cannot be decompressed"):
            command.main(["decompress", f"--workdir={workdir}", f"--output={out}", str(cut)])
    with pytest.raises(SystemExit, match="two images called"):
        command.main(["decompress", f"--workdir={workdir}", f"--output={out}", str(whole), str(whole)])
    assert not out.exists()


@pytest.mark.parametrize("output", ["file/x.png", "there.png", "x.jpg", 300 * "x" + ".png"])
def test_an_output_that_cannot_be_written_is_one_sentence(workdir, tmp_path, output):
    (tmp_path / "file").write_text("")
    (tmp_path / "there.png").write_text("")
    Image.new("RGB", (5, 6)).save(tmp_path / "image.png")
    with pytest.raises(SystemExit, match="error: "):
        complete.main([f"--workdir={workdir}", f"--image={tmp_path / 'image.png'}", f"--output={tmp_path / output}"])
    assert (tmp_path / "there.png").read_text() == ""


@pytest.mark.parametrize("kind", ["deep", "clear", "turned", "animated"])
def test_files_with_more_than_pixels_are_refused(tmp_path, kind):
    file, image, more = tmp_path / "image.png", Image.new("RGB", (5, 6)), {}
    if kind == "deep":
        file = tmp_path / "image.ppm"
        file.write_bytes(b"P6 2 1 65535\n" + bytes(12))
    elif kind == "clear":
        more = {"transparency": (0, 0, 0)}
    elif kind == "turned":
        exif = image.getexif()
        exif[0x0112] = 6
        more = {"exif": exif}
    else:
        file = tmp_path / "image.tif"
        more = {"save_all": True, "append_images": [Image.new("RGB", (5, 6), (9, 9, 9))]}
    if kind != "deep":
        image.save(file, **more)
    with pytest.raises(InputError, match="would be lost"):
        read_image(file, channels=3)


@pytest.mark.parametrize("hide", complete.PARTS)
def test_completions_keep_what_is_left(workdir, tmp_path, hide, capsys):
    Image.new("RGB", (40, 30), (255, 0, 85)).save(tmp_path / "image.png")
    picture = tmp_path / f"{hide}.png"
    complete.main(
        [
            f"--workdir={workdir}",
            f"--image={tmp_path / 'image.png'}",
            f"--output={picture}",
            f"--hide={hide}",
            "--count=3",
        ]
    )
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert summary["completions"] == 3
    assert summary["exact"] == (hide == "bottom")
    with Image.open(picture) as file:
        scale = file.height // 8
        grid = np.asarray(file)[scale // 2 :: scale, scale // 2 :: scale]
    panels = [grid[1:7, 1 + 6 * i : 6 + 6 * i] for i in range(5)]
    assert (panels[0] == (255, 0, 85)).all()
    given = complete.keep(hide, 0.5, (6, 5, 3))[..., 0]
    for panel in panels[2:]:
        np.testing.assert_array_equal(panel[given], panels[0][given])
        assert (panel[~given] != panels[0][~given]).any()


def test_an_image_is_read_as_training_read_it(tmp_path):
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(tmp_path / "grey.png")
    of_file = partial(complete.read, tmp_path / "grey.png", (16, 16, 1))
    pixels = np.arange(256).reshape(16, 16, 1)
    np.testing.assert_array_equal(of_file(8, bits=3), pixels >> 5)
    np.testing.assert_array_equal(of_file(256, invert=True), 255 - pixels)
    np.testing.assert_array_equal(of_file(2), pixels >= 128)
    np.testing.assert_array_equal(of_file(256, plain=True), pixels)
    with pytest.raises(InputError, match="holds the value 255, but the model has 17 levels"):
        of_file(17, plain=True)


def test_files_of_a_folder_of_levels_are_levels(tmp_path):
    """In a folder of 0 .. 4 a pixel of 3 is level 3, in training as after it, and not the nearest of five greys."""
    config = base.get_config()
    config.dataset, config.data_dir, config.levels = "folder", str(tmp_path), 5
    pixels = np.arange(30, dtype=np.uint8).reshape(6, 5) % 5
    Image.fromarray(pixels).save(tmp_path / "1.png")
    levels = cli.load_split(config, "all").examples[0]["image"]
    plain = trained.files_hold_levels(config)
    assert plain
    np.testing.assert_array_equal(command.exact_levels(tmp_path / "1.png", 5, 1, plain=plain), levels)
    np.testing.assert_array_equal(complete.read(tmp_path / "1.png", (6, 5, 1), 5, plain=plain), levels)
    np.testing.assert_array_equal(command.pixels_of(levels[..., 0], 5, plain=plain), pixels)
    with pytest.raises(InputError, match="holds the value 4"):
        command.exact_levels(tmp_path / "1.png", 4, 1, plain=plain)
    config.binarize = "threshold"
    assert not trained.files_hold_levels(config)


def test_a_folder_that_is_no_workdir_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="is not the workdir of a run"):
        complete.main([f"--workdir={tmp_path}", "--image=x.png", f"--output={tmp_path / 'y.png'}"])
