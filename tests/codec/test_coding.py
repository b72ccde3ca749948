"""The codec returns exactly what went in, or raises InputError."""

import dataclasses
import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from proofs import random_condition, random_images, randomised

from pixelcnn_jax import GatedPixelCNN, InputError, compress, decompress, log_prob, naive_sample, sample
from pixelcnn_jax.codec import coding
from pixelcnn_jax.codec.container import pack, unpack
from pixelcnn_jax.codec.facts import _digest_model

ROOT = Path(__file__).parent.parent.parent
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
    with pytest.raises(InputError, match="another condition"):
        decompress(model, variables, data, h=condition.h + 1, s=condition.s)
    with pytest.raises(InputError, match=r"^h must"):
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
    with pytest.raises(InputError, match=r"^levels must"):
        compress(model, model.init(jax.random.key(0), images), images)


def test_a_module_is_the_same_in_another_process():
    code = "from test_coding import Uniform, _digest_model; print(_digest_model(Uniform()).hex())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": "tests:tests/codec:."},
        capture_output=True,
        text=True,
        check=True,
    )
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
    ("field", "value", "message"),
    [
        ("model", bytes(8), "another model"),
        ("weights", bytes(8), "another weights"),
        ("pixels", bytes(8), "pixels differ"),
        ("words", b"\xff\xff\xff\xff" * 3, "pixels differ"),
        ("words", b"", "does not fit its length"),
        ("jax", "0.4.1", "another jax 0.4.1"),
        ("jaxlib", "0.4.1", "jaxlib"),
        ("platform", "tpu", "another platform tpu"),
        ("dtype", "bfloat16", "dtype"),
        ("levels", 6, "channels and levels"),
        ("shape", (2, 4, 3, 2), "channels and levels"),
        ("shape", (2**31, 2**31, 1, 1), "does not fit its length"),
        ("shape", (1, 2**14, 2**14, 1), "does not fit its length"),
        ("shape", (0, 4, 3, 1), "must not be empty"),
        ("shape", (1, 1, 2**13, 1), "batch_size must"),
        ("batch_size", 2**31, "batch_size must"),
        ("platform", "cpu\n", "does not fit its length"),
    ],
)
def test_containers_that_declare_something_else_are_refused(small, field, value, message):
    """Well-formed containers with matching checksums."""
    model, variables, _, data = small
    changed = pack(dataclasses.replace(unpack(data), **{field: value}))
    with pytest.raises(InputError, match=message):
        decompress(model, variables, changed)


def certain(levels):
    """A model that is certain of zeros, and its variables."""
    model = Uniform(levels=levels)
    return model, {"params": {"bias": np.array([100.0] + [0.0] * (levels - 1), np.float32)}}


def test_images_that_cost_nothing_have_bytes_for_their_size():
    """Otherwise a few bytes could declare hours of work."""
    model, variables = certain(2)
    images = np.zeros((1, 96, 96, 1), np.int32)
    data = compress(model, variables, images)
    assert len(unpack(data).words) == 12  # 9,216 sub-pixels, up to whole words of 4,096
    np.testing.assert_array_equal(decompress(model, variables, data), images)


def test_decoding_ends_when_the_bytes_run_out(small, monkeypatch):
    model, variables, _, data = small
    rows = []
    words = np.random.default_rng(0).bytes(16)
    lying = pack(dataclasses.replace(unpack(data), shape=(1, 1000, 8, 1), batch_size=1, words=words))
    with pytest.raises(InputError, match="pixels differ"):
        decompress(model, variables, lying, on_row=rows.append)
    assert len(rows) < 20


def test_another_instruction_set_is_refused_before_decoding(small):
    code = "from pixelcnn_jax.codec.facts import _rounding; print(_rounding())"
    flags = ("--xla_cpu_max_isa=SSE4_2", "--xla_cpu_max_isa=AVX2")
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=os.environ | {"XLA_FLAGS": flag, "JAX_ENABLE_COMPILATION_CACHE": "0"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for flag in flags
    }
    assert len(found) == 2


def test_another_version_and_other_bytes_are_refused(small):
    model, variables, _, data = small
    with pytest.raises(InputError, match="version 3 of the format"):
        decompress(model, variables, data[:8] + b"\3\0" + data[10:])
    with pytest.raises(InputError, match="not compressed by"):
        decompress(model, variables, b"\x89PNG" + data)
    with pytest.raises(InputError, match="at most 23 sub-pixels"):
        decompress(model, variables, data, max_subpixels=23)


def test_other_weights_and_models_are_refused(small):
    model, variables, _, data = small
    with pytest.raises(InputError, match="another weights"):
        decompress(model, jax.tree.map(lambda x: x.at[(0,) * x.ndim].add(1e-6), variables), data)
    other = model.clone(features=9)
    with pytest.raises(InputError, match="another model"):
        decompress(other, build(other), data)
    trained_with_dropout = model.clone(dropout=0.5)
    assert decompress(trained_with_dropout, variables, data).shape == (2, 4, 3, 1)


def test_probabilities_of_another_machine_are_detected(small, monkeypatch):
    """Another rounding is not in the header: the digest of the pixels must detect it."""
    model, variables, images, _ = small
    original = coding.tables

    def otherwise(*args):
        tables, values = original(*args), None
        while True:
            table = tables.send(values)
            values = yield np.roll(table, 1, axis=-1) if otherwise.on else table

    monkeypatch.setattr(coding, "tables", otherwise)
    otherwise.on = False
    data = compress(model, variables, images)
    otherwise.on = True
    with pytest.raises(InputError, match="pixels differ"):
        decompress(model, variables, data)


@pytest.mark.parametrize(
    "images",
    [
        np.full((1, 2, 2, 1), 5),
        np.zeros((1, 2, 2, 1)),
        np.zeros((1, 2, 2, 3), int),
        np.zeros((0, 2, 2, 1), int),
    ],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_refused_images(images):
    with pytest.raises(InputError, match=r"^images must"):
        compress(GREY, build(GREY), images)
