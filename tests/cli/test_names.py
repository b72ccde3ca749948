"""Names in a compressed file: bounded, and those of PNGs that every system can write."""

import json
import tracemalloc
import zlib

import pytest

from pixelcnn_jax import InputError
from pixelcnn_jax.cli.names import MAX_COUNT, Names, check_names, pack_names, unpack_names

UNSAFE = (
    *("../x.png", "/x.png", "x", "x.jpg", "a\\x.png", "a\0.png", "\ud800.png", "a//x.png", "./x.png", "x.png/"),
    *("C:x.png", "a\nb.png", "\x1b[2J.png", "con.png", "a/NUL/x.png", "lpt1.a.png", "a./x.png", "a /x.png", "?.png"),
    *("a/" * 16 + "x.png", "x" * 197 + ".png", "/".join(["x" * 200] * 5) + "/x.png", "", ".png/../x.png", "x.png "),
)


@pytest.mark.parametrize("names", [*([name] for name in UNSAFE), ["x.png", "x.png"], ["a.png", "a.png/b.png"]])
def test_unsafe_names_and_names_in_each_others_way(names):
    with pytest.raises(InputError):
        check_names(names)


def test_safe_names_and_names_that_come_back():
    check_names(["x.png", "in/deep/x.png", "ü 1.png", "a" * 196 + ".png", "con_.png", "a/" * 15 + "x.png"])
    assert unpack_names(pack_names(["ü.png", "b.png"], part=1, parts=3), 2) == Names(1, 3, ("ü.png", "b.png"))


@pytest.mark.parametrize(
    "facts",
    [
        *({"part": 0, "parts": 1, "names": x} for x in ([], ["x"], ["x.png", "y.png"], 3, [3], [["x.png"]], "x")),
        *({"part": part, "parts": 1, "names": ["x.png"]} for part in (None, "0", 0.0, True, [])),
        *({}, [], b"", b"no zlib", zlib.compress(b"{")),
        zlib.compress(b'{"part": 1e400, "parts": 1, "names": ["x.png"]}'),
        zlib.compress(b'{"names": ' + b"[" * 100_000),
    ],
)
def test_lies_are_refused(facts):
    with pytest.raises(InputError):
        unpack_names(facts if isinstance(facts, bytes) else zlib.compress(json.dumps(facts).encode()), 1)


def test_costs_are_bounded():
    """62 KB that unfold to 64 MB of names, for one image, and for more images than a file may hold."""
    many = zlib.compress(b'{"part": 0, "parts": 1, "names": [' + b'"a",' * 2**24 + b'"a"]}', 9)
    tracemalloc.start()
    for count in (1, 2**24):
        with pytest.raises(InputError):
            unpack_names(many, count)
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()
    with pytest.raises(InputError, match="images of one size"):
        pack_names(["x.png"] * (MAX_COUNT + 1), part=0, parts=1)
