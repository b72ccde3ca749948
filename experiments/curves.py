"""How fast several runs learn, in one plot: validation by training time, or by steps.

python -m experiments.curves --output=curves.png LABEL=RUN [LABEL=RUN ...]

A run is a workdir, a log (metrics.jsonl) or the name of weights that come with the package, whose log lies beside them.
Of every run it tells how long it took to reach the best validation of the last one named: what the claims of speed are
about. Time is the loop's own: steps, validations and pictures, with whatever else the machine did.
"""

import argparse
import math
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from experiments import cli
from pixelcnn_jax import InputError
from pixelcnn_jax.pretrained import PRETRAINED
from pixelcnn_jax.training.metrics import read_records, words

AXES = {"minutes": ("seconds", 60.0), "step": ("step", 1.0)}  # what is written in a log, and by what it is divided


class Curve(NamedTuple):
    """Validations of a run: where on the axis each was, and what it found."""

    label: str
    measure: str
    points: list[tuple[float, float]]

    @property
    def best(self) -> float:
        """The lowest."""
        return min(value for _, value in self.points)

    def reached(self, level: float) -> float | None:
        """Where the curve first comes down to a level, on the line between two validations; None if nowhere."""
        if self.points[0][1] <= level:
            return self.points[0][0]
        for (before, high), (after, low) in pairwise(self.points):
            if low <= level:
                return before + (after - before) * (high - level) / (high - low)
        return None


def main(argv: list[str] | None = None) -> None:
    """Writes the plot; prints a table, and a summary as JSON."""
    parser = argparse.ArgumentParser("python -m experiments.curves", description=__doc__, formatter_class=cli.AsWritten)
    parser.add_argument("runs", nargs="+", metavar="LABEL=RUN")
    parser.add_argument("--output", type=cli.a_path, required=True, help=".png file to write; must be new")
    parser.add_argument("--by", choices=AXES, default="minutes", help="the axis")
    parser.add_argument("--title", default="", help="over the plot")
    parser.add_argument("--top", type=float, help="where the plot ends above; nothing is left out if not given")
    cli.report(partial(compare, parser.parse_args(argv)))


def compare(arguments: argparse.Namespace) -> dict[str, Any]:
    """Reads, draws, tells. Raises InputError for logs that cannot be compared."""
    if arguments.top is not None and not math.isfinite(arguments.top):
        raise InputError(f"--top must be a finite number, not {arguments.top}.")
    cli.check_picture(arguments.output)
    curves = [read(run, arguments.by) for run in arguments.runs]
    if len({curve.label for curve in curves}) < len(curves):
        raise InputError("Each run needs a label of its own.")
    if len(measures := {curve.measure for curve in curves}) > 1:
        raise InputError(f"Runs of {' and '.join(sorted(measures))} have no axis in common.")
    draw(curves, arguments)
    last = curves[-1]
    found = {
        curve.label: {"best": curve.best, f"{arguments.by}_to_the_last": curve.reached(last.best)} for curve in curves
    }
    print(f"{'run':24} {words(last.measure):>12}  {arguments.by} until {last.best:.4f}, the best of {last.label}")
    for curve in curves:
        reached = curve.reached(last.best)
        print(f"{curve.label:24} {curve.best:12.4f}  {'never' if reached is None else f'{reached:.1f}'}")
    return {"measure": last.measure, "output": str(arguments.output), "runs": found}


def read(named: str, by: str) -> Curve:
    """A run's validations. Raises InputError for one that has no log, or none in it."""
    label, equals, where = named.partition("=")
    if not equals:
        raise InputError(f"Runs are given as LABEL=RUN, not as {named}.")
    path = Path(where)
    places = [path / "metrics.jsonl" if path.is_dir() else path, PRETRAINED / f"{where}.jsonl"]
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        raise InputError(f"{where} is no workdir, no log, and no weights of this package.")
    field, unit = AXES[by]
    try:
        records = read_records(file)
        measure = next(
            name.removeprefix("validation_") for r in records for name in r if name.startswith("validation_")
        )
        points = [(r[field] / unit, float(r[f"validation_{measure}"])) for r in records if f"validation_{measure}" in r]
    except (KeyError, StopIteration):
        raise InputError(f"{file} is no log of a run that was validated.") from None
    return Curve(label, measure, points)


def draw(curves: list[Curve], arguments: argparse.Namespace) -> None:
    """The plot; a level line where the last curve is lowest."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for curve in curves:
        axes.plot(*zip(*curve.points, strict=True), label=curve.label, marker=".")
    axes.axhline(curves[-1].best, color="grey", linewidth=0.8, linestyle="--")
    axes.set(xlabel=arguments.by, ylabel=f"validation, {words(curves[-1].measure)}")
    axes.set_title(arguments.title, parse_math=False)
    axes.set_ylim(top=arguments.top)
    axes.grid(alpha=0.3)
    for text in axes.legend().get_texts():
        text.set_parse_math(False)
    figure.savefig(arguments.output, dpi=100)


if __name__ == "__main__":
    main()
