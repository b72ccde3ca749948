"""Records of a run: ``metrics.jsonl``, curve, TensorBoard files, custom loggers."""

import collections
import io
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import jax
import numpy as np

from pixelcnn_jax.data.image_files import decode
from pixelcnn_jax.foundation.devices import wait_for_older
from pixelcnn_jax.foundation.files import atomic_write
from pixelcnn_jax.training.custom_loggers import Log, unless_failed
from pixelcnn_jax.training.processes import is_first

Record = dict[str, int | float]


def samples_file(step: int) -> str:
    """Names the picture of samples of a step."""
    return f"samples_{step:07d}.png"


def display_name(measure: str) -> str:
    """Formats a measure for display: "bits/dim", "triplet loss"."""
    return measure.replace("_per_", "/").replace("_", " ")


def read_records(file: Path) -> list[Record]:
    """Reads a ``metrics.jsonl``; torn lines are skipped."""
    records: list[Record] = []
    for line in file.read_text(errors="replace").splitlines():
        with suppress(ValueError, RecursionError):
            record = json.loads(line)
            if isinstance(record, dict) and "step" in record:
                records.append(record)
    return records


class Metrics:
    """Writer of scalars by step; TensorBoard and loggers run in a thread.

    Args:
      workdir: run directory, if any.
      resumed_step: step of the checkpoint; later records are discarded.

    Attributes:
      records: all records of the run.
    """

    def __init__(self, workdir: Path | None, *, resumed_step: int, loggers: Sequence[Log] = ()) -> None:
        self._writes = workdir is not None and is_first()
        self._loggers = loggers
        self._workdir = workdir or Path()
        self._file = self._workdir / "metrics.jsonl"
        self._writer: Any = None
        self._tensorboard = unless_failed("TensorBoard")
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._begun: collections.deque[Future[None]] = collections.deque()
        # Records after the last checkpoint will be written again.
        records = read_records(self._file) if workdir is not None and self._file.exists() else []
        self.records: list[Record] = [record for record in records if record["step"] <= resumed_step]
        if self._writes:
            if resumed_step and not self._file.exists():
                print(f"{self._file} is missing: the history restarts after step {resumed_step}.", file=sys.stderr)
            atomic_write(self._file, "".join(json.dumps(record) + "\n" for record in self.records))
        self._earlier: list[Record] | None = list(self.records)  # for TensorBoard, until it begins

    def write(self, step: int, **scalars: int | float) -> None:
        record = {"step": step, **scalars}
        self.records.append(record)
        if not self._writes:
            return
        with self._file.open("a") as file:
            file.write(json.dumps(record) + "\n")
        self.submit(self._tensorboard, self._write_tensorboard, record)
        for log in self._loggers:
            self.submit(log, step, scalars, self._pictures(record))

    def submit(self, work: Callable[..., None], *inputs: Any) -> None:
        """Queues work, in order, on the first process; ``close`` waits for it."""
        while self._begun and self._begun[0].done():
            self._begun.popleft().result()
        if self._writes:  # in TensorFlow's thread: matplotlib would inspect modules half imported
            self._begun.append(self._thread.submit(work, *inputs))

    def last(self, name: str) -> float:
        """Looks up the latest value of a scalar, else 0."""
        return next((record[name] for record in reversed(self.records) if name in record), 0.0)

    def has(self, step: int, name: str) -> bool:
        return any(record["step"] == step and name in record for record in self.records)

    def close(self) -> None:
        """Waits for queued work and raises its errors."""
        if self._writes and self._earlier:  # a run that resumed and wrote nothing
            self._begun.append(self._thread.submit(self._tensorboard, self._begin_tensorboard))
        self._thread.shutdown()
        if self._writer is not None:
            self._tensorboard(self._writer.close)
        for work in self._begun:
            work.result()

    def _pictures(self, record: Record) -> dict[str, Path]:
        file = self._workdir / samples_file(int(record["step"]))
        validated = any(name.startswith("validation_") for name in record)
        return {"samples": file} if validated and file.exists() else {}

    def _begin_tensorboard(self) -> None:
        """Starts TensorBoard's writer at the first record: TensorFlow's import would delay the first step."""
        earlier, self._earlier = self._earlier, None
        if earlier is None:
            return
        # Silence TensorFlow, which only writes files here.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
        try:
            from clu import metric_writers
        except ImportError:  # no TensorFlow
            return
        folder = self._workdir / "tensorboard"
        shutil.rmtree(folder, ignore_errors=True)
        self._writer = metric_writers.SummaryWriter(str(folder))
        for record in earlier:
            self._write_tensorboard(record)

    def _write_tensorboard(self, record: Record) -> None:
        self._begin_tensorboard()
        if self._writer is None:
            return
        step = int(record["step"])
        self._writer.write_scalars(step, {key: x for key, x in record.items() if key != "step"})
        for name, file in self._pictures(record).items():
            self._writer.write_images(step, {name: decode(file, colour=True)[None]})
        self._writer.flush()


def save_curve(path: Path, records: list[Record], measure: str, title: str) -> None:
    """Plots losses by step as PNG; the y axis ignores the first 5 % of steps."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.5), layout="constrained")
    axes, late = figure.subplots(), []
    for name, label in ((f"train_{measure}", "training batches"), (f"validation_{measure}", "validation, EMA")):
        points = [(record["step"], record[name]) for record in records if name in record]
        if points:
            axes.plot(*zip(*points, strict=True), label=label, marker="." if len(points) < 50 else None)
            late += [value for step, value in points if 20 * step >= records[-1]["step"]]
    axes.set(xlabel="step", ylabel=display_name(measure))
    axes.set_title(title, parse_math=False, wrap=True)  # a folder's name may hold a dollar sign
    if late and 0 < (height := max(late) - min(late)) < float("inf"):
        axes.set_ylim(min(late) - 0.05 * height, max(late) + 0.05 * height)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=160)
    atomic_write(path, png.getvalue())


class Stopwatch:
    """Throughput and measurements of steps.

    Args:
      batch_size: images per step.
    """

    def __init__(self, batch_size: int) -> None:
        self._batch_size = batch_size
        self._latest: list[Any] = []
        self._reset()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Excludes the time inside, e.g. a validation."""
        jax.block_until_ready(self._measured)  # the steps that were begun
        paused = time.monotonic()
        yield
        self._began += time.monotonic() - paused

    def count(self, measured: Any) -> Any:
        """Counts a step with its scalars; waits for those of the step two before, and returns them."""
        self._measured.append(measured)
        self._latest = [*self._latest[-2:], measured]
        return wait_for_older(self._latest)

    def read(self) -> tuple[Any, float]:
        """Collects measurements [steps] since the last call, and images per second."""
        measured = jax.tree.map(lambda *steps: np.array(steps), *jax.device_get(self._measured))
        rate = len(self._measured) * self._batch_size / max(1e-9, time.monotonic() - self._began)
        self._reset()
        return measured, rate

    def _reset(self) -> None:
        self._measured: list[Any] = []
        self._began = time.monotonic()
