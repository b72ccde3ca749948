"""Faults that a whole process survives: signals and kills, a missing TensorFlow, a user's mistake.

Each of these tests starts the training command as a user does. What can be tested inside this process is tested in
tests/training.
"""

import json
import signal
import subprocess
import sys

import pytest
from tiny_runs import ROOT, assert_same_bits, checkpoints, command, finished, run, wait_for, without_tensorflow

LONG = dict(train__steps=400, train__eval_every=200, train__checkpoint_every=200, train__log_every=200)


def started(line):
    return subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_process_that_is_killed_at_any_moment_loses_nothing_but_time(tmp_path, whole):
    process = started(command(tmp_path / "run"))
    wait_for(lambda: checkpoints(tmp_path / "run"), process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "run/result.json").exists()
    run(tmp_path / "run")
    assert_same_bits(tmp_path / "run", whole)


@pytest.mark.long
def test_a_signal_ends_a_process_with_a_checkpoint_and_one_line(tmp_path):
    workdir = tmp_path / "run"
    process = started(without_tensorflow(command(workdir, **LONG)))
    wait_for(lambda: (workdir / "checkpoints/200/manifest.json").exists(), process)
    process.send_signal(signal.SIGTERM)
    _, complaint = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, complaint
    lines = [line for line in complaint.splitlines() if line]
    assert len(lines) == 1, complaint
    step = checkpoints(workdir)[-1]
    assert 200 <= step < 400
    assert f"step {step}" in lines[0]


@pytest.mark.long
def test_training_works_where_tensorflow_cannot_be_imported(tmp_path, whole):
    """And its last line is the summary."""
    printed = finished(without_tensorflow(command(tmp_path / "run")))
    assert json.loads(printed.splitlines()[-1])["split"] == "validation"
    assert not (tmp_path / "run/tensorboard").exists()
    assert_same_bits(tmp_path / "run", whole)


def test_a_mistake_is_told_within_seconds_and_without_tensorflow(tmp_path):
    """Two seconds of a quiet machine; the time limit is for a busy one."""
    watched = (
        "import sys, runpy, atexit; atexit.register(lambda: print('tensorflow' in sys.modules));"
        "runpy.run_module('experiments.train', run_name='__main__')"
    )
    line = [sys.executable, "-c", watched, *command(tmp_path / "new", data__dataset="mnsit")[3:]]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "mnist" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == "False\n"
    assert not (tmp_path / "new").exists()


def test_the_package_is_light_to_import():
    code = (
        "import sys, jax, flax.linen, jaxtyping, numpy, safetensors.flax; before = {*sys.modules};"
        "from pixelcnn_jax import sample;"
        "more = {name.split('.')[0] for name in {*sys.modules} - before};"
        "print(sorted(more - sys.stdlib_module_names - {'pixelcnn_jax', 'jax', 'flax'}))"
    )
    assert finished([sys.executable, "-c", code]) == "[]\n"
