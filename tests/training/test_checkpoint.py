"""Checkpoints: kept, damaged in many ways, passed over, and a thousand of them."""

import os
import shutil
import subprocess
import sys
import threading
from unittest.mock import Mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp
from tiny_runs import flip_a_bit, truncate

from pixelcnn_jax import InputError
from pixelcnn_jax.foundation.devices import data_mesh, replicated
from pixelcnn_jax.training.checkpoint import Checkpoints
from pixelcnn_jax.training.step import TrainState


def state_of(step, size=600):
    """A state whose values tell its step, on all devices."""
    params = {"layer": {"kernel": jnp.arange(size, dtype=jnp.float32).reshape(-1, 20) + step, "bias": jnp.ones(3)}}
    number = jnp.asarray(step, jnp.int32)
    state = TrainState(number, params, jax.tree.map(jnp.copy, params), (jnp.copy(number),), jnp.zeros((), jnp.int32))
    return jax.device_put(state, replicated(data_mesh()))


def saved(folder, *steps, keep=3):
    checkpoints = Checkpoints(folder, keep=keep)
    for step in steps:
        checkpoints.save(step, state_of(step))
    return checkpoints


def restored_step(folder):
    """The step that a run would resume from; the whole state must be that of the step."""
    state = Checkpoints(folder).restore(state_of(0))
    if state is None:
        return None
    jax.tree.map(np.testing.assert_array_equal, state, state_of(int(state.step)))
    assert jax.tree.structure(state) == jax.tree.structure(state_of(0))
    assert all(x.sharding == replicated(data_mesh()) for x in jax.tree.leaves(state))
    return int(state.step)


def test_the_last_ones_are_kept_and_the_newest_is_restored(tmp_path):
    assert saved(tmp_path, 2, 4, 10, 8, keep=2).steps() == [4, 8]  # 10 was of a run that resumed before it
    assert sorted(path.name for path in tmp_path.iterdir()) == ["4", "8"]
    assert restored_step(tmp_path) == 8


def test_without_a_checkpoint_there_is_nothing_to_restore(tmp_path, capsys):
    assert restored_step(tmp_path / "none") is None
    assert capsys.readouterr().err == ""


def largest_file(folder):
    return max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


DAMAGE = {
    "truncated": lambda folder: truncate(largest_file(folder)),
    "a bit flipped": lambda folder: flip_a_bit(largest_file(folder)),
    "state deleted": lambda folder: shutil.rmtree(folder / "state"),
    "a file too many": lambda folder: (folder / "state/more").write_text("more"),
    "manifest emptied": lambda folder: (folder / "manifest.json").write_bytes(b""),
    "manifest deep": lambda folder: (folder / "manifest.json").write_bytes(b"[" * 100_000),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_checkpoint_is_passed_over_in_one_line(tmp_path, capsys, damage):
    saved(tmp_path, 4, 8)
    damage(tmp_path / "8")
    assert restored_step(tmp_path) == 4
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1
    assert str(tmp_path / "8") in told[0]
    assert (tmp_path / "8").exists()  # nothing is removed that might be of use


@pytest.mark.parametrize("remnant", ["8/state", "8.orbax-checkpoint-tmp/state", "8"])
def test_what_was_never_finished_is_no_checkpoint(tmp_path, capsys, remnant):
    saved(tmp_path, 4)
    (tmp_path / remnant).mkdir(parents=True)
    shutil.copytree(tmp_path / "4", tmp_path / "4 (copy)")
    assert restored_step(tmp_path) == 4
    assert capsys.readouterr().err == ""
    saved(tmp_path, 8)
    assert restored_step(tmp_path) == 8


def test_when_all_are_damaged_a_run_says_that_it_begins_again(tmp_path, capsys):
    (tmp_path / "metrics.jsonl").write_text("")
    saved(tmp_path / "checkpoints", 4)
    truncate(largest_file(tmp_path / "checkpoints/4"))
    assert restored_step(tmp_path / "checkpoints") is None
    assert ["checkpoints/4." in line or "step 0" in line for line in capsys.readouterr().err.splitlines()] == [True] * 2
    shutil.rmtree(tmp_path / "checkpoints")
    assert restored_step(tmp_path / "checkpoints") is None
    assert "step 0" in capsys.readouterr().err


def test_a_new_checkpoint_takes_the_place_of_damaged_later_ones(tmp_path, capsys):
    """With one to keep, the damaged one must not count as the one."""
    saved(tmp_path, 8, 10)
    truncate(largest_file(tmp_path / "8"))
    truncate(largest_file(tmp_path / "10"))
    assert restored_step(tmp_path) is None
    assert saved(tmp_path, 5, keep=1).steps() == [5]
    assert restored_step(tmp_path) == 5


def test_checkpoints_of_diverged_parameters_can_be_discarded(tmp_path):
    checkpoints = saved(tmp_path, 2, 4, 6)
    checkpoints.discard_from(4)
    assert checkpoints.steps() == [2]


@pytest.mark.parametrize("other", [state_of(0, size=800), state_of(0)._replace(params={"layer": jnp.ones(3)})])
def test_a_whole_checkpoint_of_another_network_is_refused(tmp_path, other):
    checkpoints = saved(tmp_path, 4)
    like = jax.device_put(other, replicated(data_mesh()))
    with pytest.raises(InputError, match=str(tmp_path / "4")):
        checkpoints.restore(like)
    assert restored_step(tmp_path) == 4


def test_files_that_may_not_be_read_are_not_called_damaged(tmp_path, monkeypatch):
    saved(tmp_path, 4, 8)

    def denied(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.read_bytes", denied)
    with pytest.raises(InputError, match=r"8/.*permission"):
        restored_step(tmp_path)


@pytest.mark.parametrize("error", [ValueError('RESOURCE_EXHAUSTED: "state"\nat length'), OSError(28, "No space left")])
def test_a_full_disk_is_one_sentence_and_the_ones_before_stay(tmp_path, monkeypatch, error):
    checkpoints = saved(tmp_path, 4)

    with monkeypatch.context() as patch:
        patch.setattr(ocp, "save", Mock(side_effect=error))
        with pytest.raises(InputError, match=str(tmp_path / "8")) as raised:
            checkpoints.save(8, state_of(8))
    assert len(str(raised.value).splitlines()) == 1
    assert restored_step(tmp_path) == 4


def used():
    """Open files, threads, and memory in MB."""
    with open("/proc/self/statm") as file:
        resident = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    return len(os.listdir("/proc/self/fd")), threading.active_count(), resident


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="counts files as Linux lists them")
@pytest.mark.parametrize("count", [40, pytest.param(300, marks=pytest.mark.long)])
def test_files_threads_and_memory_do_not_grow_with_the_number_of_saves(tmp_path, count):
    checkpoints, state = saved(tmp_path, *range(5), keep=2), state_of(0)
    before = used()
    for step in range(5, 5 + count):
        checkpoints.save(step, state)
    after = used()
    assert after[0] <= before[0] + 3
    assert after[1] <= before[1] + 3
    assert after[2] <= before[2] + 50


def test_a_folder_that_cannot_be_made_ends_the_process(tmp_path):
    """Python waits for orbax's threads at exit: one of them used to wait for ever."""
    (tmp_path / "checkpoints").touch()
    code = (
        "import pathlib, sys; from pixelcnn_jax.training.checkpoint import Checkpoints; import jax.numpy as jnp\n"
        "Checkpoints(pathlib.Path(sys.argv[1])).save(1, jnp.ones(3))"
    )
    line = [sys.executable, "-c", code, str(tmp_path / "checkpoints")]
    ended = subprocess.run(line, capture_output=True, text=True, timeout=30)
    assert (ended.returncode, "cannot be written" in ended.stderr) == (1, True)
