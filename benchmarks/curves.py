"""Validation loss of several runs by training time or steps, in one plot.

python -m benchmarks.curves -o curves.png LABEL=RUN [LABEL=RUN ...]

A run is a workdir, a metrics.jsonl, or a published model. The table says when each reached the best validation of the
last. Time includes validations and pictures.
"""

import io
import json
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import click

from pixelcnn_jax import InputError
from pixelcnn_jax.cli.options import check_output, output_option
from pixelcnn_jax.foundation.files import atomic_write
from pixelcnn_jax.foundation.user_command import UserCommand
from pixelcnn_jax.pretrained import PUBLISHED
from pixelcnn_jax.training.metrics import display_name, read_records

AXES = {"minutes": ("seconds", 60.0), "step": ("step", 1.0)}  # the field of a log, and its unit


class Curve(NamedTuple):
    """Validations of a run, as (position on the axis, loss)."""

    label: str
    measure: str
    points: list[tuple[float, float]]

    @property
    def best(self) -> float:
        return min(value for _, value in self.points)

    def reached(self, level: float) -> float | None:
        """Interpolates where the curve first reaches a level; None if nowhere."""
        if self.points[0][1] <= level:
            return self.points[0][0]
        for (before, high), (after, low) in pairwise(self.points):
            if low <= level:
                return before + (after - before) * (high - level) / (high - low)
        return None


@click.command(cls=UserCommand)
@click.argument("runs", nargs=-1, required=True, metavar="LABEL=RUN...")
@output_option("PNG to write")
@click.option("--by", type=click.Choice([*AXES]), default="minutes", show_default=True, help="Horizontal axis.")
@click.option("--top", type=float, help="Upper limit of the y axis.")
def main(runs: tuple[str, ...], output: Path, by: str, top: float | None) -> None:
    """Plot how fast runs learn."""
    check_output(output, suffix=".png")
    curves = [read_curve(run, by) for run in runs]
    last = curves[-1]
    if len(measures := {curve.measure for curve in curves}) > 1:
        raise InputError(f"All runs must have the same measure, got {' and '.join(sorted(measures))}.")
    plot(curves, output, by=by, top=top)
    facts: dict[str, Any] = {
        curve.label: {"best": curve.best, f"{by}_to_the_last": curve.reached(last.best)} for curve in curves
    }
    print(f"{'run':24} {display_name(last.measure):>12}  {by} until {last.best:.4f}, the best of {last.label}")
    for curve in curves:
        reached = curve.reached(last.best)
        print(f"{curve.label:24} {curve.best:12.4f}  {'never' if reached is None else f'{reached:.1f}'}")
    print(json.dumps({"benchmark": "curves", "measure": last.measure, "runs": facts}))


def read_curve(argument: str, by: str) -> Curve:
    label, equals, where = argument.partition("=")
    if not equals:
        raise InputError(f"Runs must be given as LABEL=RUN, got {argument}.")
    path = Path(where).expanduser()
    places = [path / "metrics.jsonl" if path.is_dir() else path, PUBLISHED / f"{where}.jsonl"]
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        raise InputError(f"{where} must be a workdir, a log, or the name of a published model.")
    field, unit = AXES[by]
    records = read_records(file)
    name = next((name for record in records for name in record if name.startswith("validation_")), None)
    points = [(record[field] / unit, float(record[name])) for record in records if name in record and field in record]
    if not name or not points:
        raise InputError(f"{file} must be the log of a run with at least one validation.")
    return Curve(label, name.removeprefix("validation_"), points)


def plot(curves: list[Curve], output: Path, *, by: str, top: float | None) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for curve in curves:
        axes.plot(*zip(*curve.points, strict=True), label=curve.label, marker=".")
    axes.axhline(curves[-1].best, color="grey", linewidth=0.8, linestyle="--")
    axes.set(xlabel=by, ylabel=f"validation, {display_name(curves[-1].measure)}")
    axes.set_ylim(top=top)
    axes.grid(alpha=0.3)
    for text in axes.legend().get_texts():
        text.set_parse_math(False)
    png = io.BytesIO()
    figure.savefig(png, dpi=100)
    atomic_write(output, png.getvalue())


if __name__ == "__main__":
    main()
