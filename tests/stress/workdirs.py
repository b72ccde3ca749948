"""Attacks on a run by damaged files; tests/training/test_run.py kills it anywhere."""

import contextlib
import functools
import io
import shutil
import tempfile
from pathlib import Path

from hypothesis import strategies as st
from tiny_runs import assert_same_values, records, run

from stress.fuzz import DAMAGES, attack, damaged
from stress.judge import RIGHT, one_sentence


def new_folder():
    return Path(tempfile.mkdtemp(prefix="stress-run-"))


@functools.cache
def whole_run():
    """Returns the workdir of a tiny run that nothing has interrupted."""
    workdir = new_folder() / "run"
    run(workdir)
    return workdir


def resume_damaged(case):
    """Goes on after a file was damaged or removed: to the bits of a whole run, or the damage is named."""
    whole, workdir, (index, damages) = whole_run(), new_folder() / "run", case
    files = [file.relative_to(whole) for file in sorted(whole.rglob("*")) if file.is_file() and file.name != "lock"]
    file = files[index % len(files)]
    shutil.copytree(whole, workdir)
    if file.name != "result.json":
        (workdir / "result.json").unlink()  # a run that is not finished
    if damages is None:
        (workdir / file).unlink()
    else:
        (workdir / file).write_bytes(damaged((workdir / file).read_bytes(), damages))
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        run(workdir)
    lines = said.getvalue().splitlines()
    assert all(map(one_sentence, lines)), lines
    assert_same_values(workdir, whole)
    mine, theirs = ({(one["step"], key) for one in records(folder) for key in one} for folder in (workdir, whole))
    assert theirs <= mine or any(file.name in line for line in lines), f"{file}: records are lost and not named"
    shutil.rmtree(workdir.parent)
    return RIGHT


def attack_workdirs(report, *, seed, count):
    whole_run()
    attack(st.tuples(st.integers(0, 999), st.none() | DAMAGES), resume_damaged, report, seed=seed, count=count)
