"""The record of a run: ``metrics.jsonl``, a line a record, and the same numbers for TensorBoard through clu."""

import collections
import json
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pixelcnn_jax.files import atomic_write

Record = dict[str, int | float]

LIKELIHOOD = "bits_per_dim"  # the measure of a loss that is a likelihood in nats


def words(measure: str) -> str:
    """A measure as it is read: "bits/dim", "triplet loss"."""
    return measure.replace("_per_", "/").replace("_", " ")


def read_records(file: Path) -> list[Record]:
    """The lines of metrics.jsonl that are records; of a process that was killed the last may be torn."""
    records: list[Record] = []
    for line in file.read_text(errors="replace").splitlines():
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            continue
        numbers = isinstance(record, dict) and all(isinstance(value, int | float) for value in record.values())
        if numbers and isinstance(record.get("step"), int):
            records.append(record)
    return records


class Metrics:
    """Writes scalars by step. ``records`` holds all of the run, those of earlier processes included.

    Unless they are to be ``kept`` nothing is written, as by all but the first of several processes.
    """

    def __init__(self, workdir: Path, *, resumed_step: int, kept: bool = True) -> None:
        self._kept = kept
        self._file = workdir / "metrics.jsonl"
        self._tensorboard = str(workdir / "tensorboard")
        self._writer: Any = None
        # Importing clu's writer imports TensorFlow, which takes seconds: beside the first training steps, not before.
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._begun: collections.deque[Future[None]] = collections.deque()
        # What a killed process wrote after its last checkpoint is about to happen again.
        written = read_records(self._file) if self._file.exists() else []
        self.records: list[Record] = [record for record in written if record["step"] <= resumed_step]
        if kept:
            atomic_write(self._file, "".join(json.dumps(record) + "\n" for record in self.records))
            if not Path(self._tensorboard).exists():  # that process may not have come to it
                for record in self.records:
                    self._later(self._write_tensorboard, record["step"], {k: record[k] for k in record if k != "step"})

    def write(self, step: int, **scalars: float) -> None:
        """Records scalars of one step; a float that is not finite is for the caller to refuse."""
        record = {"step": step, **scalars}
        self.records.append(record)
        if not self._kept:
            return
        with self._file.open("a") as file:
            file.write(json.dumps(record) + "\n")
        self._later(self._write_tensorboard, step, scalars)

    def draw(self, path: Path, *, measure: str, title: str) -> None:
        """Draws the curve of a measure so far, some time before ``close`` returns.

        After TensorFlow is imported, not meanwhile: matplotlib looks at modules that it would find half imported.
        """
        if self._kept:
            self._later(save_curve, path, list(self.records), measure, title)

    def last(self, name: str) -> float:
        """The latest value of a scalar, 0 where there is none."""
        return next((record[name] for record in reversed(self.records) if name in record), 0.0)

    def close(self) -> None:
        """Waits for TensorBoard's file and the curve to be written. Raises what went wrong there."""
        self._thread.shutdown()
        if self._writer is not None:
            self._writer.close()
        for work in self._begun:
            work.result()

    def _later(self, work: Callable[..., None], *inputs: Any) -> None:
        """Hands work to the thread. Raises what went wrong with earlier work."""
        while self._begun and self._begun[0].done():
            self._begun.popleft().result()
        self._begun.append(self._thread.submit(work, *inputs))

    def _write_tensorboard(self, step: int, scalars: Record) -> None:
        if self._writer is None:
            # TensorFlow only writes files here; what it has to say of its kernels is not for the user.
            os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
            os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
            from clu import metric_writers

            self._writer = metric_writers.SummaryWriter(self._tensorboard)
        self._writer.write_scalars(step, scalars)
        self._writer.flush()


def save_curve(path: Path, records: list[Record], measure: str, title: str) -> None:
    """Draws a measure against the step, of the training batches and of validation, from the lines of metrics.jsonl."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, label in ((f"train_{measure}", "training batches"), (f"validation_{measure}", "validation, EMA")):
        points = [(record["step"], record[name]) for record in records if name in record]
        if points:
            axes.plot(*zip(*points, strict=True), label=label, marker="." if len(points) < 50 else None)
    axes.set(xlabel="step", ylabel=words(measure))
    axes.set_title(title, parse_math=False)  # a folder may be called as it likes
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=100)
