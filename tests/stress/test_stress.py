"""The attacks of `make stress` in small numbers; the laws of the judge that decides what they may end in."""

import pytest

from pixelcnn_jax import InputError
from stress import calls, fuzz, workdirs
from stress.judge import REFUSED, RIGHT, judge

pytestmark = pytest.mark.usefixtures("unchecked_shapes")


@pytest.mark.parametrize(
    ("attack", "count"),
    [
        (fuzz.attack_containers, 200),
        (fuzz.attack_names, 200),
        (calls.attack_lines, 77),
        pytest.param(workdirs.attack_workdirs, 4, marks=pytest.mark.long),
    ],
    ids=["containers", "names", "command lines", "damaged workdirs"],
)
def test_attacks_end_in_a_refusal_or_the_right_result(attack, count):
    records = []
    attack(records.append, seed=0, count=count)
    assert records
    assert [record for record in records if record["outcome"] not in (REFUSED, RIGHT)] == []


def refuse():
    raise InputError("levels must be 2.")


def crash():
    raise AttributeError("shape")


def test_the_judge():
    actual = [judge(work, "")["outcome"] for work in (refuse, lambda: RIGHT, crash, lambda: "a wrong image")]
    assert actual == [REFUSED, RIGHT, "AttributeError: shape", "a wrong image"]
