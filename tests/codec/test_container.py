"""The container alone: what it keeps, and what it refuses before anything is decoded."""

import dataclasses
import struct

import pytest

from pixelcnn_jax import InputError
from pixelcnn_jax.codec.container import MAGIC, Container, digest, filled, pack, unpack

CONTAINER = Container(
    model=bytes(range(16)), shape=(7, 4, 3, 1), levels=5, batch_size=3, lanes=1, extra=b"names",
    streams=(bytes(12), bytes(60), bytes(8)),
)  # fmt: skip


def test_it_keeps_what_it_was_given():
    long = dataclasses.replace(CONTAINER, shape=(5, 100, 60, 1), streams=(bytes(20_000), bytes(200)))
    for container in (CONTAINER, long):
        assert unpack(pack(container)) == container


@pytest.mark.parametrize(
    "change",
    [
        dict(shape=(7, 2**14, 2**14, 1)),
        dict(shape=(7, 1, 1, 1)),  # streams longer than images of that size can be
        dict(shape=(8, 4, 3, 1), batch_size=2),
        dict(lanes=2**31),
        dict(batch_size=2**31),
        dict(streams=(b"\0" * 4,) * 3 + (b"",)),
    ],
)
def test_declared_sizes_are_compared_with_the_length(change):
    with pytest.raises(InputError, match="damaged"):
        unpack(pack(dataclasses.replace(CONTAINER, **change)))


def test_a_length_that_does_not_end_is_refused_at_once():
    data = pack(CONTAINER)
    start, end = 18 + 52, 2**22
    body = data[18:start] + b"\xff" * end
    head = struct.pack("<8sHQ", MAGIC, 2, 18 + len(body) + 8)
    with pytest.raises(InputError, match="damaged"):
        unpack(head + body + digest(head, body))


def test_images_that_cost_nothing_have_bytes_for_their_size():
    assert filled(b"x", 2**14) == b"x" + b"\0" * 15
    assert filled(b"12345", 1) == b"12345"
