"""Fuzzed files: bytes at random, and fields that lie behind valid checksums."""

import dataclasses
import functools
import hashlib
import json
import struct
import tempfile
import zlib
from pathlib import Path

import hypothesis
import jax
import numpy as np
from hypothesis import strategies as st
from integer_models import make_integer
from proofs import random_images, randomised
from tiny_runs import TINY

from experiments import experiment_module
from experiments.train import parse
from pixelcnn_jax import GatedPixelCNN, compress, decompress
from pixelcnn_jax.cli.names import is_safe, unpack_names
from pixelcnn_jax.cli.options import load_density
from pixelcnn_jax.codec.container import digest, pack, unpack
from pixelcnn_jax.data.dataset import DataConfig
from pixelcnn_jax.foundation.files import checksum
from pixelcnn_jax.models.inputs import ImageSpec
from pixelcnn_jax.pretrained import save_pretrained
from pixelcnn_jax.training.config import parse_config
from pixelcnn_jax.training.cost import check_memory
from stress.judge import RIGHT, judge

GREY = GatedPixelCNN(levels=5, features=8, layers=1)
EXTREME = [0, 1, 2, 3, 4, 7, 8, 255, 2**14, 2**16, 2**24, 2**31 - 1, 2**31, 2**32 - 1]
NUMBER = st.sampled_from(EXTREME) | st.integers(0, 40) | st.integers(0, 2**32 - 1)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([10**400, -1, 0, 1e308, float("inf"), float("nan")])
    | st.floats()
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
DAMAGE = st.one_of(
    st.tuples(st.just("flip"), st.integers(0, 2**20), st.integers(1, 255)),
    st.tuples(st.just("cut"), st.integers(0, 2**20), st.just(0)),
    st.tuples(st.just("drop"), st.integers(0, 2**20), st.integers(1, 40)),
    st.tuples(st.just("insert"), st.integers(0, 2**20), st.binary(min_size=1, max_size=40)),
    st.tuples(st.just("repeat"), st.integers(0, 2**20), st.integers(1, 40)),
)


def damaged(data, damages):
    for kind, at, what in damages:
        at %= max(1, len(data))
        if kind == "flip":
            data = data[:at] + bytes(x ^ what for x in data[at : at + 1]) + data[at + 1 :]
        elif kind == "cut":
            data = data[:at]
        elif kind == "drop":
            data = data[:at] + data[at + what :]
        elif kind == "insert":
            data = data[:at] + what + data[at:]
        else:
            data = data[:at] + data[at : at + what] * 3 + data[at + what :]
    return data


def signed(data):
    """Returns a damaged container with the length and the checksum that its bytes should have."""
    if len(data) < 26:
        return data
    data = data[:10] + struct.pack("<Q", len(data)) + data[18:-8]
    return data + digest(data)


@functools.cache
def compressed(mixture=False):
    _, model, variables = make_integer(GREY.clone(mixture=2, point_masses=True) if mixture else GREY)
    images = np.asarray(random_images(model, (7, 4, 3), key=3))
    return model, variables, images, compress(model, variables, images, batch_size=3, verify=False)


def read_container(case):
    mixture, (fields, damages, sign) = case
    model, variables, images, data = compressed(mixture)
    container = unpack(data)
    if "shape" in fields:
        shape = list(container.shape)
        for axis, size in fields["shape"]:
            shape[axis] = size
        fields = fields | {"shape": tuple(shape)}
    data = damaged(pack(dataclasses.replace(container, **fields)), damages)
    actual = decompress(model, variables, signed(data) if sign else data)
    return RIGHT if np.array_equal(actual, images) else "a wrong image"


SIZES = st.lists(st.tuples(st.integers(0, 3), NUMBER), min_size=1, max_size=4)
STREAMS = st.lists(st.binary(max_size=60), min_size=1, max_size=4).map(tuple)


LYING = st.fixed_dictionaries(
    {},
    optional={"shape": SIZES, "levels": NUMBER, "batch_size": NUMBER, "lanes": NUMBER}
    | {"extra": st.binary(max_size=40), "streams": STREAMS, "model": st.binary(min_size=16, max_size=16)},
).filter(bool)
DAMAGES = st.lists(DAMAGE, min_size=1, max_size=3)
CONTAINER_CASES = st.tuples(
    st.booleans(),
    st.tuples(st.just({}), DAMAGES, st.just(False))
    | st.tuples(st.just({}), DAMAGES, st.just(True))
    | st.tuples(LYING, st.just([]), st.just(False))
    | st.tuples(LYING, DAMAGES, st.just(True)),
)

NAME = st.text(max_size=30) | st.text("ab./\\:\0\n", max_size=60) | st.sampled_from(["a.png", "b/" * 50 + "a.png"])
FACTS = st.fixed_dictionaries({"part": JSON | st.just(0), "parts": JSON | st.just(1), "names": st.lists(NAME) | JSON})
NAMES_CASES = st.tuples(
    FACTS.map(lambda facts: zlib.compress(json.dumps(facts).encode(errors="surrogatepass")))
    | st.binary(max_size=80)
    | st.tuples(st.sampled_from(["[", '{"names":', '"a",', "0", '["a.png",']), st.sampled_from([10, 10**5, 10**7])).map(
        lambda x: zlib.compress((x[0] * (x[1] // len(x[0]))).encode())
    ),
    st.sampled_from([0, 1, 2, 3, 2**16, 2**32]),
)


def read_names(case):
    content, count = case
    names = unpack_names(content, count).names
    return RIGHT if len(names) == count and all(map(is_safe, names)) else "unsafe names"


@functools.cache
def tiny_model():
    """A folder with a model, and the model's card, its places and its weights."""
    folder = Path(tempfile.mkdtemp(prefix="stress-model-"))
    variables = randomised(GREY.init(jax.random.key(1), random_images(GREY, (1, 3, 3))))
    config = {"experiment": "unconditional", "seed": 0, "data": {"dataset": "digits", "levels": 5}, "train": {}}
    save_pretrained(folder, GREY, variables, {"image_spec": ImageSpec(5, 3, 1, 5), "config": config, "scores": {}})
    card = json.loads((folder / "model.json").read_text())
    return folder, card, [*places(card)], (folder / "model.safetensors").read_bytes()


def places(tree, path=()):
    for name, value in tree.items():
        yield (*path, name)
        if isinstance(value, dict):
            yield from places(value, (*path, name))


def as_text(card):
    """The card with a checksum that fits."""
    return json.dumps(card | {"checksum": checksum(card)})


def changed(card, changes):
    card = json.loads(json.dumps(card))
    for index, value in changes:
        path = tiny_model()[2][index % len(tiny_model()[2])]
        tree = card
        for name in path[:-1]:
            tree = tree.get(name) if isinstance(tree, dict) else None
        if isinstance(tree, dict):
            tree[path[-1]] = value
    return card


NESTED = st.sampled_from(["[" * 10**5, '{"networks":' * 10**5, "", "null", '{"format": 2}'])
CARD_CASES = st.lists(st.tuples(st.integers(0, 99), JSON | NUMBER), min_size=1, max_size=3) | NESTED


def read_model(folder, weights):
    density = load_density(str(folder))
    density.settings("data", DataConfig)
    same = json.dumps(density.card["sha256"]) and all(np.isfinite(x).all() for x in jax.tree.leaves(density.variables))
    return RIGHT if same and hashlib.sha256(weights).hexdigest() == density.card["sha256"] else "other weights"


def read_card(case):
    folder, card, _, weights = tiny_model()
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "model.json").write_text(case if isinstance(case, str) else as_text(changed(card, case)))
    return read_model(folder, weights)


HEADER = st.lists(
    st.tuples(
        st.integers(0, 99),
        st.sampled_from(["dtype", "shape", "data_offsets"]),
        JSON | st.lists(st.integers(0, 2**63), max_size=4) | st.sampled_from(["F64", "BF16", "BOOL", "U64"]),
    ),
    min_size=1,
    max_size=3,
)
WEIGHTS_CASES = st.tuples(HEADER, st.just([])) | st.tuples(st.just([]), st.lists(DAMAGE, min_size=1, max_size=3))


def read_weights(case):
    """Weights with lying headers, behind a card that names their SHA-256."""
    header, damages = case
    folder, card, _, weights = tiny_model()
    size = struct.unpack("<Q", weights[:8])[0]
    tree = json.loads(weights[8 : 8 + size])
    for index, field, value in header:
        tree[sorted(tree)[index % len(tree)]][field] = value
    text = json.dumps(tree).encode() if header else weights[8 : 8 + size]
    weights = damaged(struct.pack("<Q", len(text)) + text + weights[8 + size :], damages)
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "model.json").write_text(as_text(card | {"sha256": hashlib.sha256(weights).hexdigest()}))
    return read_model(folder, weights)


VALUE = st.sampled_from([-1, 0, 1, 2, 3, 10**6, 10**9, 10**30, "", "x", "None", "nan", "inf", "1e400", "()", "(1,)"])
CONFIG_CASES = st.dictionaries(st.sampled_from(sorted(TINY)), VALUE | NUMBER | st.text(max_size=9), min_size=1)


def read_config(case):
    fields = [f"--config.{name}={value}" for name, value in case.items()]
    command = parse(["train", "--config=tests/tiny_runs.py", "--dry_run", *fields])
    module = experiment_module(command.config.experiment)
    config = parse_config(command.config, module.Config)
    check_memory(config, module.make_experiment(config, ImageSpec(8, 8, 1, 17)))
    return RIGHT


SECTIONS = {
    "containers": (CONTAINER_CASES, read_container),
    "names": (NAMES_CASES, read_names),
    "cards": (CARD_CASES, read_card),
    "weights": (WEIGHTS_CASES, read_weights),
    "configs": (CONFIG_CASES, read_config),
}


def fuzz(section, count, seed, report):
    """Attacks a kind of file that often, and reports each case."""
    strategy, check = SECTIONS[section]
    done = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategy)
    def each(case):
        report(judge(lambda: check(case), repr(case)))
        done.append(1)
        if len(done) % 500 == 0:
            jax.clear_caches()  # each shape is compiled, and a process may hold 65,530 memory maps

    each()
