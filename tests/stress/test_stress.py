"""The attacks of `make stress` in small numbers; the laws of the judge that decides what they may end in."""

import pytest

from pixelcnn_jax import InputError
from stress import calls, fuzz, workdirs
from stress.judge import REFUSED, RIGHT, is_failure, judge

pytestmark = pytest.mark.usefixtures("unchecked_shapes")


def failures(attack, *arguments, **options):
    records = []
    attack(*arguments, report=records.append, **options)
    assert records
    return [record for record in records if is_failure(record)]


@pytest.mark.parametrize(
    ("section", "count"),
    [
        ("containers", 200),
        ("names", 200),
        ("cards", 100),
        ("weights", 100),
        ("configs", 60),
    ],
)
def test_fuzzed_files_are_refused_or_right(section, count):
    assert failures(fuzz.fuzz, section, count, 0) == []


def test_wrong_command_lines_are_one_sentence():
    assert failures(calls.attack_lines, every=2) == []


@pytest.mark.long
def test_damaged_workdirs_go_on_to_the_same_bits_or_name_the_damage():
    assert failures(workdirs.attack_workdirs, seed=0, count=4) == []


def test_checkpoints_leave_nothing_behind():
    assert failures(workdirs.attack_by_saves, count=40) == []


def test_the_judge():
    def refuse():
        raise InputError("levels must be 2.")

    def crash():
        raise AttributeError("shape")

    actual = [judge(work, "")["outcome"] for work in (refuse, lambda: RIGHT, crash, lambda: "a wrong image")]
    assert actual == [REFUSED, RIGHT, "AttributeError: shape", "a wrong image"]
