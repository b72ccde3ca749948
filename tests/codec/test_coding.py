"""Compression: what goes in comes out, anywhere, group by group, or raises InputError."""

import dataclasses
import os
import struct
import sys
import threading
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference_decoder
from integer_models import CODES, COLOUR, COUNTS, GREY, MIXTURE, PREDICTION, condition_of, make_integer, one_hot
from proofs import random_images
from safetensors.numpy import load_file
from tiny_runs import finished

from pixelcnn_jax import InputError, RowLSTM, compress, decompress, load_pretrained, log_prob, sample
from pixelcnn_jax.codec import batches, coder, integer_stream, rans
from pixelcnn_jax.codec.coding import Uncoded, compress_sizes
from pixelcnn_jax.codec.container import digest, pack, padded, unpack
from pixelcnn_jax.models.conditioning.conditional_model import ConditionalModel, ConstantCondition
from pixelcnn_jax.models.conditioning.encoders import Upsampling
from pixelcnn_jax.zoo.pretrained import save_pretrained

GOLDEN = Path(__file__).parent / "golden"  # made by make_golden, and never again


@pytest.fixture(scope="module")
def small():
    """An integer model, its variables, images, and the images compressed in groups of three."""
    _, model, variables = make_integer(GREY)
    images = np.asarray(random_images(model, (7, 4, 3), key=3))
    return model, variables, images, compress(model, variables, images, batch_size=3, verify=False)


def golden_images():
    generator = np.random.default_rng(0)
    return generator.integers(4, size=(5, 6, 5, 3)).astype(np.int32), one_hot(5, 4, seed=2)


def make_golden():
    _, model, variables = make_integer(COLOUR, 4)
    save_pretrained(GOLDEN, model, variables, image_shape=(6, 5))
    images, h = golden_images()
    (GOLDEN / "images.pcnn").write_bytes(compress(model, variables, images, h=h, batch_size=3))


def check_golden():
    """Reads the golden file, and writes it again."""
    model, variables, _ = load_pretrained(GOLDEN)
    (images, h), data = golden_images(), (GOLDEN / "images.pcnn").read_bytes()
    np.testing.assert_array_equal(decompress(model, variables, data, h=h), images)
    assert compress(model, variables, images, h=h, batch_size=3, verify=False) == data


def decode_in_numpy(folder, model, variables, data, h=None, s=None):
    save_pretrained(folder, model, variables, image_shape=(1, 1))
    return reference_decoder.decode(load_file(folder / "model.safetensors"), data, h, s, components=model.mixture)


def test_the_golden_file_is_read_and_written():
    check_golden()


@pytest.mark.long
@pytest.mark.parametrize(
    "flags", ["--xla_cpu_max_isa=SSE4_2 --xla_cpu_multi_thread_eigen=false", "--xla_cpu_enable_fast_math=true"]
)
def test_the_golden_file_does_not_depend_on_the_compiler(flags):
    paths = {"PYTHONPATH": "tests:tests/codec:.", "XLA_FLAGS": flags, "JAX_ENABLE_COMPILATION_CACHE": "0"}
    finished([sys.executable, "-c", "import test_coding; test_coding.check_golden()"], env=os.environ | paths)


PREDICTIONS = [PREDICTION.clone(levels=levels) for levels in (6, 300, 1100, 4096)]
NETWORKS = [(COLOUR, 4, 2), (COUNTS, 0, 1), *((model,) for model in (CODES, MIXTURE, *PREDICTIONS))]  # classes, maps


@pytest.mark.parametrize("network", NETWORKS)
def test_a_decoder_in_numpy_integers_reads_files_of_any_network(network, tmp_path):
    model, *sizes = network
    _, model, variables = make_integer(model, *sizes)
    images = np.asarray(random_images(model, (5, 4, 5), key=6))
    condition = condition_of(images.shape, *sizes, seed=7)
    tile = 3 if model.levels > 4096 else None
    data = compress(model, variables, images, **condition._asdict(), batch_size=3, tile=tile)
    np.testing.assert_array_equal(decode_in_numpy(tmp_path, model, variables, data, *condition), images)


def test_a_file_coded_where_jax_has_64_bits_is_read_where_it_has_32():
    _, model, variables = make_integer(COLOUR, 4, 2)
    images, h = np.asarray(random_images(model, (5, 4, 5), key=6)), one_hot(5, 4, seed=7)
    step = 2.0 ** int(variables["params"]["condition"]["shifts"]["s"])
    s = (np.random.default_rng(0).integers(0, 99, size=(5, 4, 5, 2)) + 0.5) * step * (1 - 1e-12)  # ties in float32
    jax.config.update("jax_enable_x64", True)  # in the threads of the coder too
    try:
        data = compress(model, variables, images, h=h, s=s, verify=False)
    finally:
        jax.config.update("jax_enable_x64", False)
    np.testing.assert_array_equal(decompress(model, variables, data, h=h, s=s), images)


@pytest.mark.parametrize("batch_size", [0, 3, 7])
def test_images_come_back_from_groups_of_any_size(small, batch_size):
    model, variables, images, _ = small
    data = compress(model, variables, images, batch_size=batch_size, verify=False)
    decoded = decompress(model, variables, data)
    np.testing.assert_array_equal(decoded, images)
    assert decoded.dtype == np.uint8


def test_decoding_ends_when_the_bytes_run_out(small):
    model, variables, _, data = small
    streams = (np.random.default_rng(0).bytes(512),)
    lying = dataclasses.replace(unpack(data), shape=(1, 2**15, 2**4, 1), batch_size=1, lanes=1, streams=streams)
    began = time.process_time()
    with pytest.raises(InputError, match="does not decode"):
        decompress(model, variables, pack(lying))
    assert time.process_time() - began < 10  # all rows would take minutes


def test_the_batch_of_the_coder_does_not_matter(small, monkeypatch):
    model, variables, images, data = small
    monkeypatch.setattr(batches, "COLUMNS", 3 * 3 * 2)  # two groups at a time, and then one
    assert compress(model, variables, images, batch_size=3) == data


def test_padding_is_exact_and_not_coded(monkeypatch):
    sizes = 0, 2
    _, model, variables = make_integer(GREY.clone(mixture=2), *sizes)
    images = np.asarray(random_images(model, (3, 5, 4), key=6))
    condition = condition_of(images.shape, *sizes, seed=7)._asdict()
    data = compress(model, variables, images, **condition, batch_size=2, verify=False)
    monkeypatch.setattr(batches, "common_size", lambda pixels: pixels + 3)
    assert compress(model, variables, images, **condition, batch_size=2, verify=False) == data
    np.testing.assert_array_equal(decompress(model, variables, data, **condition), images)


def test_images_of_all_sizes_share_their_programs(monkeypatch):
    """So do groups of all sizes, in any number of lanes."""
    monkeypatch.setitem(coder.IMAGES_PER_LANE, "softmax", 2)
    sizes = 3, 2
    _, model, variables = make_integer(GREY, *sizes)
    parts = []
    for index, size in enumerate([(1, 8, 8), (5, 5, 7), (7, 19, 3), (3, 1, 1), (1, 6, 9)]):
        images = np.asarray(random_images(model, size, key=index))
        parts.append(Uncoded(images, *condition_of(images.shape, *sizes, seed=index), 256, b""))
    programs = coder._intervals_of_strip, coder._decode_strip, rans._encode
    compiled = [program._cache_size() for program in programs]
    together = compress_sizes(model, variables, parts, verify=True, on_row=None)
    now = [program._cache_size() for program in programs]
    assert [after - before for before, after in zip(compiled, now, strict=True)] == [1, 1, 1]
    for data, (images, h, s, *_) in zip(together, parts, strict=True):
        assert compress(model, variables, images, h=h, s=s, verify=False) == data


def test_a_file_can_order_few_programs(small):
    """Whatever groups it declares."""
    sides, container = 2 ** np.random.default_rng(0).uniform(0, [6, 3, 6, 6], (200, 40, 4)), unpack(small[-1])

    def programs(sizes):
        shapes = [{"shape": (n, *size, 1), "batch_size": n, "lanes": min(n, lanes)} for n, *size, lanes in sizes]
        return {batch.program for batch in batches.plan([dataclasses.replace(container, **x) for x in shapes])}

    assert max(len(programs(sizes)) for sizes in sides.astype(int).tolist()) <= 4
    assert min(programs([(1, 2**20, 1, 1), *[(1, 1, 1, 1)] * 1000])).groups <= 4  # not all as tall as one
    with pytest.raises(InputError, match="in parts"):  # nine, none of which could hold another
        programs([(4**k, 1, 4 ** (8 - k), 1) for k in range(9)])


def test_bytes_are_within_a_hundredth_of_the_models_own_bits():
    _, model, variables = make_integer(GREY, scale=0.1)
    images = np.asarray(sample(model, variables, jax.random.key(5), shape=(256, 12, 12)))
    data = compress(model, variables, images, verify=False)
    ideal = -float(log_prob(model, variables, images).sum()) / np.log(2) / 8
    assert ideal < len(data) < 1.002 * ideal + 100


def test_damaged_files_are_refused(small):
    model, variables, _, data = small
    generator = np.random.default_rng(0)
    for bit in generator.integers(0, 8 * len(data), 300):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InputError):
            decompress(model, variables, bytes(damaged))
    for length in range(len(data)):
        with pytest.raises(InputError, match="damaged"):
            decompress(model, variables, data[:length])


def test_damaged_streams_are_detected(small):
    """Files whose checksum matches, as no accident would leave them."""
    model, variables, _, data = small
    container, generator = unpack(data), np.random.default_rng(0)
    for _ in range(60):
        streams = [bytearray(stream) for stream in container.streams]
        chosen = streams[generator.integers(3)]
        chosen[generator.integers(len(chosen))] ^= 1 << generator.integers(8)
        with pytest.raises(InputError, match="damaged"):
            decompress(model, variables, pack(dataclasses.replace(container, streams=tuple(map(bytes, streams)))))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": bytes(16)}, "a different model"),
        ({"levels": 6}, "a different model"),
        ({"shape": (7, 4, 4, 1)}, "damaged"),
        ({"shape": (7, 1, 1, 1)}, "damaged"),  # streams longer than images of that size can be
        ({"shape": (2**40, 4, 3, 1)}, "damaged"),
        ({"shape": (7, 2**20, 2**20, 1)}, "damaged"),
        ({"tile": 1}, "damaged"),
        ({"lanes": 2}, "damaged"),
        ({"lanes": 0}, "damaged"),
        ({"streams": (bytes(4),) * 3}, "damaged"),  # states that no coder has
        ({"streams": (bytes(12), bytes(12), bytes(8), b"")}, "damaged"),
    ],
)
def test_containers_that_declare_something_else_are_refused(small, fields, message, monkeypatch):
    model, variables, _, data = small
    if fields.get("shape") not in ((7, 4, 4, 1), (7, 1, 1, 1)):
        monkeypatch.delattr(coder, "plan")  # nothing is compiled or allocated
    with pytest.raises(InputError, match=message):
        decompress(model, variables, pack(dataclasses.replace(unpack(data), **fields)))


def test_a_tile_is_decoded_alone_by_the_same_program(monkeypatch):
    _, model, integers = make_integer(COUNTS, 0, 1)
    images = np.asarray(random_images(model, (2, 7, 9), key=3)).astype(np.uint16)
    s = condition_of(images.shape, 0, 1).s
    data = compress(model, integers, images, s=s, batch_size=1, tile=4)
    decompress(model, integers, data, s=s[:1, :4, :4], group=0, tile=(0, 0))
    compiled = coder._decode_strip._cache_size()
    for row, column in ((0, 0), (0, 2), (1, 0), (1, 2)):
        window = np.s_[1:, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
        part = decompress(model, integers, data, s=s[window], group=1, tile=(row, column))
        np.testing.assert_array_equal(part, images[window], strict=True)
    assert coder._decode_strip._cache_size() == compiled
    np.testing.assert_array_equal(decompress(model, integers, data, s=s[1:], group=1), images[1:])
    monkeypatch.setattr("pixelcnn_jax.codec.container.MAX_ROW", 4)  # of a tile, and no longer than that of an image
    assert compress(model, integers, images, s=s, batch_size=1, tile=4) == data
    for wrong in {"tile": (2, 0)}, {"tile": (0, -1)}, {"group": 2}:
        with pytest.raises(InputError, match=f"^{min(wrong)} must be"):
            decompress(model, integers, data, s=s, **wrong)


def test_tiles_in_another_order_are_refused(small):
    model, variables, images, _ = small
    container = unpack(compress(model, variables, images, tile=1, verify=False))
    with pytest.raises(InputError, match="does not decode"):
        decompress(model, variables, pack(dataclasses.replace(container, streams=container.streams[::-1])))


def test_another_model_and_other_weights_are_refused(small):
    model, variables, _, data = small
    with pytest.raises(InputError, match="a different model"):
        decompress(*make_integer(COLOUR)[1:], data)
    changed = jax.tree.map(lambda x: x, variables)
    changed["params"]["head"]["logits"]["bias"] -= 1
    with pytest.raises(InputError, match="a different model"):
        decompress(model, changed, data)


def test_a_network_that_does_not_compute_in_integers_is_refused(small):
    floats = ConditionalModel(GREY, ConstantCondition(3)), RowLSTM(levels=5, features=8)
    for model in (*floats, ConditionalModel(small[0], Upsampling(2, 3))):  # the last has a conditioner in floats
        for work, what in zip((compress, decompress), small[2:], strict=True):
            with pytest.raises(InputError, match=r"^model must be an IntegerPixelCNN.*quantise"):
                work(model, {}, what)


@pytest.mark.parametrize(
    "images", [np.full((1, 2, 2, 1), 5), np.zeros((0, 2, 2, 1), int), np.zeros((1, 1, 2**16 + 1, 1), int)]
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_refused_images(small, images):
    model, variables, *_ = small
    with pytest.raises(InputError, match=r"^images must"):
        compress(model, variables, images)


def test_a_container_keeps_what_it_was_given(small):
    one = dataclasses.replace(unpack(small[-1]), extra=b"names")
    for container in (one, dataclasses.replace(one, shape=(5, 100, 60, 1), streams=(bytes(20_000), bytes(200)))):
        assert unpack(pack(container)) == container


def test_a_length_that_does_not_end_is_refused_at_once(small):
    body = small[-1][18 : 18 + 56] + b"\xff" * 2**22
    head = small[-1][:10] + struct.pack("<Q", 18 + len(body) + 8)
    with pytest.raises(InputError, match="damaged"):
        unpack(head + body + digest(head, body))


def test_images_that_cost_nothing_have_bytes_for_their_size():
    assert padded(b"x", 2**14) == b"x" + b"\0" * 15
    assert padded(b"12345", 1) == b"12345"


def test_other_versions_other_bytes_and_too_many_subpixels_are_refused(small):
    model, variables, _, data = small
    for version in (b"\0\0", b"\1\0"):
        with pytest.raises(InputError, match=f"version {version[0]} of the format"):
            decompress(model, variables, data[:8] + version + data[10:])
    with pytest.raises(InputError, match="not compressed by"):
        decompress(model, variables, b"\x89PNG" + data)
    with pytest.raises(InputError, match="1 to 83 sub-pixels"):
        decompress(model, variables, data, max_subpixels=83)


def test_another_h_is_detected():
    _, model, variables = make_integer(COLOUR, 4)
    images, h = golden_images()
    data = compress(model, variables, images, h=h)
    with pytest.raises(InputError, match="h or s is not"):
        decompress(model, variables, data, h=np.roll(h, 1, axis=1))


def test_a_machine_that_rounds_is_refused(small, monkeypatch):
    model, variables, images, _ = small

    def in_bfloat16(x, kernel, axes=1):
        x, kernel = (a.astype(jnp.bfloat16).astype(a.dtype) if a.dtype == jnp.float32 else a for a in (x, kernel))
        return jnp.tensordot(x, kernel, axes=axes)

    monkeypatch.setattr(integer_stream, "dot", in_bfloat16)
    coder.products_are_exact.cache_clear()
    jax.clear_caches()
    with pytest.raises(InputError, match="exactly"):
        compress(model, variables, images, verify=False)
    coder.products_are_exact.cache_clear()
    jax.clear_caches()


def test_an_interrupted_call_does_not_wait_for_its_threads():
    begun, interrupted, start = threading.Event(), threading.Event(), time.monotonic()
    results = coder._in_pairs(lambda waits: waits and (begun.set(), interrupted.wait(40)), [False, True])
    next(results)
    begun.wait()
    results.close()
    interrupted.set()
    assert time.monotonic() - start < 30
