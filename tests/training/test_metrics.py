"""The record of a run: kept through kills, and the curve and TensorBoard's files derived from it."""

import errno
import sys
import threading
import time
import types
from contextlib import closing
from unittest.mock import Mock

import jax.numpy as jnp
import numpy as np
import pytest

from pixelcnn_jax.data.pictures import write_image
from pixelcnn_jax.training import metrics as module
from pixelcnn_jax.training.metrics import Metrics, Stopwatch, read_records, samples_file, save_curve


def test_what_was_recorded_after_the_last_checkpoint_is_dropped_and_recorded_again(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "clu", None)  # no TensorBoard, whose import takes seconds
    with closing(Metrics(tmp_path, resumed_step=0)) as metrics:
        for step in (2, 4, 6):
            metrics.write(step, loss=step / 2, seconds=10.0 * step)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8, "lo')
    with closing(Metrics(tmp_path, resumed_step=4)) as metrics:
        assert (metrics.last("seconds"), metrics.last("none")) == (40.0, 0.0)
        assert metrics.has(4, "loss")
        assert not metrics.has(6, "loss")
        assert not metrics.has(4, "none")
        metrics.write(6, loss=3.0)
    assert [record["step"] for record in read_records(tmp_path / "metrics.jsonl")] == [2, 4, 6]


def test_a_history_that_is_lost_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "clu", None)
    for step in (0, 4):  # the file is made by the first, even without a record
        Metrics(tmp_path, resumed_step=step).close()
    assert capsys.readouterr().err == ""
    (tmp_path / "metrics.jsonl").unlink()
    Metrics(tmp_path, resumed_step=4).close()
    assert capsys.readouterr().err == f"{tmp_path / 'metrics.jsonl'} is missing: the history restarts after step 4.\n"


def test_a_process_that_is_not_the_first_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "is_first", lambda: False)
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
    with closing(Metrics(tmp_path, resumed_step=1)) as metrics:
        metrics.write(2, loss=1.0)
        metrics.submit(save_curve, tmp_path / "curve.png", list(metrics.records), "loss", "")
        assert metrics.last("loss") == 1.0
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 1, "loss": 2.0}\n'


def events_of(folder, tag):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    return events.Tensors(tag)


def points(folder, tag):
    """Returns the points of a scalar that TensorBoard shows."""
    from tensorboard.util.tensor_util import make_ndarray

    return [(event.step, float(make_ndarray(event.tensor_proto))) for event in events_of(folder, tag)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_holds_every_point_and_the_samples_of_a_validation_after_kills(tmp_path):
    write_image(tmp_path / samples_file(4), np.zeros((3, 5, 1), np.uint8))
    for begin in (0, 6, 12):  # the first two are killed: their last records are lost, and nothing is closed
        metrics = Metrics(tmp_path, resumed_step=begin)
        for step in range(begin + 1, begin + 10):
            metrics.write(step, loss=step / 4)
            if step == 4:
                metrics.write(4, validation_loss=1.0)
        if begin < 12:
            metrics._thread.shutdown()
    metrics.close()
    assert points(tmp_path / "tensorboard", "loss") == [(step, step / 4) for step in range(1, 22)]
    assert [event.step for event in events_of(tmp_path / "tensorboard", "samples")] == [4]


def test_tensorboard_begins_with_the_first_record(tmp_path, monkeypatch):
    """TensorFlow's import takes longer than many a first step."""
    begun = []
    monkeypatch.setattr(Metrics, "_begin_tensorboard", lambda self: begun.append(1))
    with closing(Metrics(tmp_path, resumed_step=0)) as metrics:
        metrics.submit(lambda: None)
        metrics._begun[-1].result()
        assert not begun
        metrics.write(1, loss=2.0)
    assert begun


@pytest.mark.parametrize("where", ["close", "next write"])
def test_what_goes_wrong_in_the_thread_is_not_lost_but_tensorboard_may_fail(tmp_path, monkeypatch, where, capsys):
    monkeypatch.setattr(Metrics, "_write_tensorboard", full := Mock(side_effect=OSError(errno.ENOSPC, "No space")))
    metrics = Metrics(tmp_path, resumed_step=0)
    metrics.write(1, loss=2.0)
    metrics.submit(full)
    metrics._thread.shutdown()
    with pytest.raises(OSError, match="No space"):
        metrics.close() if where == "close" else metrics.write(2, loss=1.0)
    assert "Logger TensorBoard failed" in capsys.readouterr().err


def test_the_curve_is_drawn_after_the_imports_in_the_thread(tmp_path, monkeypatch):
    import matplotlib.figure  # noqa: F401 (its own import is not what is tested)

    begun = threading.Event()

    def importing(self, record):
        monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))  # half imported: without a version
        begun.set()
        time.sleep(0.3)
        monkeypatch.delitem(sys.modules, "IPython")

    monkeypatch.setattr(Metrics, "_write_tensorboard", importing)
    with closing(Metrics(tmp_path, resumed_step=0)) as metrics:
        metrics.write(1, train_loss=2.0)
        begun.wait()
        metrics.submit(save_curve, tmp_path / "curve.png", list(metrics.records), "loss", "")
    assert (tmp_path / "curve.png").read_bytes()[1:4] == b"PNG"


@pytest.mark.parametrize(("late", "expected"), [(1.0, [0.99, 1.21]), (np.nan, []), (np.inf, []), (1.2, [])])
def test_the_curve_shows_what_comes_after_the_first_steps(tmp_path, monkeypatch, late, expected):
    limits = []
    monkeypatch.setattr("matplotlib.axes.Axes.set_ylim", lambda axes, *ends: limits.extend(ends))
    records = [{"step": step, "train_loss": value} for step, value in ((1, 9.0), (50, 1.2), (100, late))]
    save_curve(tmp_path / "curve.png", records, "loss", "digits")
    assert limits == pytest.approx(expected)


def test_the_stopwatch_excludes_what_lies_between_two_steps(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    watch = Stopwatch(batch_size=6)
    for seconds in (1.0, 2.0):
        now[0] += seconds
        watch.count(jnp.float32(seconds))
    with watch.paused():
        now[0] += 50.0
    losses, rate = watch.read()
    np.testing.assert_array_equal(losses, [1.0, 2.0])
    assert rate == 2 * 6 / 3.0
    now[0] += 4.0
    watch.count(jnp.float32(5.0))
    losses, rate = watch.read()
    np.testing.assert_array_equal(losses, [5.0])
    assert rate == 6 / 4.0
