"""Attacks on a run: kills at random moments and damaged files."""

import contextlib
import functools
import io
import random
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from hypothesis import strategies as st
from tiny_runs import ROOT, assert_same_bits, assert_same_values, command, records, run

from stress.fuzz import DAMAGES, attack, damaged
from stress.judge import RIGHT, judge, one_sentence


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


def attack_by_kills(report, *, seed, count):
    """Kills runs at random moments until that many kills are done; each run is started again until it ends."""
    generator, whole, kills = random.Random(seed), whole_run(), 0
    usual = 60.0  # seconds of a whole run, until one has been timed
    while kills < count:
        workdir, moments = new_folder() / "run", []
        while True:
            began, moment = time.monotonic(), round(generator.uniform(0.2, 1.1) * usual, 1)
            try:
                done = subprocess.run(
                    command(workdir), cwd=ROOT, capture_output=True, timeout=moment if len(moments) < 5 else None
                )
                break
            except subprocess.TimeoutExpired:  # killed
                moments.append(moment)
        kills += len(moments)
        if not moments:
            usual = time.monotonic() - began

        def check(done=done, workdir=workdir):
            assert done.returncode == 0, done.stderr.decode()
            assert_same_bits(workdir, whole)
            return RIGHT

        report(judge(check, f"killed after {moments} s") | {"kills": len(moments)})
