"""Fuzzed files: bytes at random, and fields that lie behind valid checksums."""

import dataclasses
import functools
import json
import struct
import zlib

import hypothesis
import jax
import numpy as np
from hypothesis import strategies as st
from integer_models import make_integer
from proofs import random_images

from pixelcnn_jax import GatedPixelCNN, compress, decompress
from pixelcnn_jax.cli.names import is_safe, unpack_names
from pixelcnn_jax.codec.container import digest, pack, unpack
from stress.judge import RIGHT, judge

GREY = GatedPixelCNN(levels=5, features=8, layers=1)
EXTREME = [0, 1, 2, 3, 4, 7, 8, 255, 2**14, 2**16, 2**24, 2**31 - 1, 2**31, 2**32 - 1]
NUMBER = st.sampled_from(EXTREME) | st.integers(0, 40) | st.integers(0, 2**32 - 1)
# What stands at a place of a file, and by what it is replaced.
DAMAGE = st.tuples(st.integers(0, 2**20), st.sampled_from([0, 1, 40, 2**20]), st.binary(max_size=40))
DAMAGES = st.lists(DAMAGE, min_size=1, max_size=3)


def damaged(data, damages):
    for place, length, content in damages:
        place %= len(data) + 1
        data = data[:place] + content + data[place + length :]
    return data


def signed(data):
    """Returns a damaged container with the length and the checksum that its bytes should have."""
    if len(data) < 26:
        return data
    data = data[:10] + struct.pack("<Q", len(data)) + data[18:-8]
    return data + digest(data)


@functools.cache
def compressed(mixture):
    _, model, variables = make_integer(GREY.clone(mixture=2, point_masses=True) if mixture else GREY)
    images = np.asarray(random_images(model, (7, 4, 3), key=3))
    return model, variables, images, compress(model, variables, images, batch_size=3, verify=False)


SIZES = st.tuples(*(st.just(size) | NUMBER for size in (7, 4, 3, 1)))
STREAMS = st.lists(st.binary(max_size=60), min_size=1, max_size=4).map(tuple)
LYING = st.fixed_dictionaries(
    {},
    optional={"shape": SIZES, "levels": NUMBER, "batch_size": NUMBER, "lanes": NUMBER, "tile": NUMBER}
    | {"extra": st.binary(max_size=40), "streams": STREAMS, "model": st.binary(min_size=16, max_size=16)},
)
CONTAINER_CASES = st.tuples(st.booleans(), st.just({}) | LYING, st.just([]) | DAMAGES, st.booleans())


def read_container(case):
    mixture, fields, damages, sign = case
    model, variables, images, data = compressed(mixture)
    data = damaged(pack(dataclasses.replace(unpack(data), **fields)), damages)
    actual = decompress(model, variables, signed(data) if sign else data)
    return RIGHT if np.array_equal(actual, images) else "a wrong image"


NAME = st.text(max_size=30) | st.text("ab./\\:\0\n", max_size=60) | st.sampled_from(["a.png", "b/" * 50 + "a.png"])
ANY = st.none() | st.integers() | st.floats() | st.text(max_size=20) | st.lists(st.integers(), max_size=4)
FACTS = st.fixed_dictionaries({"part": ANY | st.just(0), "parts": ANY | st.just(1), "names": st.lists(NAME) | ANY})
REPEATED = st.tuples(st.sampled_from(["[", '{"names":', '"a",', '["a.png",']), st.sampled_from([10, 10**5, 10**6]))
NAMES_CASES = st.tuples(
    FACTS.map(lambda facts: zlib.compress(json.dumps(facts).encode(errors="surrogatepass")))
    | REPEATED.map(lambda repeated: zlib.compress((repeated[0] * repeated[1]).encode()))
    | st.binary(max_size=80),
    st.sampled_from([0, 1, 2, 3, 2**16, 2**32]),
)


def read_names(case):
    content, count = case
    names = unpack_names(content, count).names or ()
    return RIGHT if len(names) == count and all(map(is_safe, names)) else "unsafe names"


def attack(strategy, check, report, *, seed, count):
    """Checks that many cases, and reports each."""
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


attack_containers = functools.partial(attack, CONTAINER_CASES, read_container)
attack_names = functools.partial(attack, NAMES_CASES, read_names)
