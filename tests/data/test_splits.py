import pytest

from pixelcnn_jax.data.splits import parse_split
from pixelcnn_jax.foundation.errors import InputError

NAMES = ["a", "b", "c", "d", "a or b", "2"]
INDICES = [0, 1, 2, 3, 4, 5, 2, -1]  # TFDS marks a missing label by -1


def rows(split, count=100):
    return list(parse_split(split).rows(count, {}))


@pytest.mark.parametrize(
    ("split", "part"),
    [
        ("train[:30]", slice(0, 30)),
        ("train[-10%:]", slice(90, 100)),
        ("train[10%:20%]", slice(10, 20)),
        ("train[:-95]", slice(0, 5)),
    ],
)
def test_parts(split, part):
    assert parse_split(split).name == "train"
    assert rows(split) == list(range(100))[part]


@pytest.mark.parametrize("count", [5, 15, 25, 35, 100])
def test_percentages_from_either_end_meet(count):
    assert rows("train[:90%]", count) + rows("train[-10%:]", count) == list(range(count))


@pytest.mark.parametrize(
    ("condition", "wanted"),
    [
        ("is b", [1]),
        ("is b or c", [1, 2, 6]),
        ("is b or 2 [:2]", [1, 5]),
        ("is a or b", [4]),  # the name of one class
        ("is 3", [3]),
        ("is 2", [5]),  # a name before it is an index
        ("is below 2", [0, 1]),
        ("is at least 4", [4, 5]),
        ("is at least 0[1:3]", [1, 2]),  # a part of the images that are left
    ],
)
def test_conditions_on_classes(condition, wanted):
    split = parse_split(f"train where kind {condition}")
    assert split.rows(len(INDICES), {"kind": lambda: (INDICES, NAMES)}) == wanted


@pytest.mark.parametrize(
    "split",
    [
        *("", "train[5]", "train[:5", "train[a:b]", "train where kind is below three"),
        *("train[5:5]", "train[6:5]", "train[:101]", "train[-101:]", "train[:110%]"),
        *("train where kind is x", "train where colour is red", "train where kind is below ²"),
        "train where kind is b or x",
    ],
)
def test_refusals(split):
    with pytest.raises(InputError, match=r"split|classes"):
        parse_split(split).rows(100, {"kind": lambda: ([0] * 100, NAMES)})


def test_no_index_is_accepted_if_all_names_are_numbers():
    with pytest.raises(InputError, match="names a class '0'"):
        parse_split("train where kind is 0").rows(2, {"kind": lambda: ([0, 1], ["1", "2"])})
