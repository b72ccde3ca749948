"""Scores of a run as a table."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pixelcnn_jax.data.loading import Splits
from pixelcnn_jax.likelihood import nats_to_bits_per_dim
from pixelcnn_jax.training.config import RunConfig
from pixelcnn_jax.training.experiment import LIKELIHOOD
from pixelcnn_jax.training.metrics import display_name
from pixelcnn_jax.zoo.model_card import UNCONDITIONAL


def score_rows(published: Iterable[Any], scored: Mapping[str, Any], shape: tuple[int, ...]) -> list[list[str]]:
    """Builds rows (model, split, figures), this run last, below a header.

    Args:
      published: ``config.train.published``.
      scored: ``result.json``, or the card of an unfinished run.
      shape: image shape.
    """
    measure, bits_per_nat = scored.get("measure", LIKELIHOOD), nats_to_bits_per_dim(1.0, shape)
    this = "this run" if scored.get("density", UNCONDITIONAL) == UNCONDITIONAL else f"this run, {scored['density']}"
    this += f", step {scored['step']:,}" if "step" in scored else ""
    scores = [(this, split, x) for split, x in scored.get("scores", {}).items()]
    if measure != LIKELIHOOD:
        return [["model", "split", display_name(measure)], *([*row, f"{x[measure]:.4f}"] for *row, x in scores)]
    rows = [(model, split, nats) for model, x in scored.get("baselines", {}).items() for split, nats in x.items()]
    rows += [(model, split, x if unit == "nats" else x / bits_per_nat) for model, split, unit, x in published]
    rows += [(*row, x["nats"]) for *row, x in scores]
    figures = ([model, split, f"{nats * bits_per_nat:.4f}", f"{nats:.2f}"] for model, split, nats in rows)
    return [["model", "split", "bits/dim", "nats"], *figures]


def plain_figures(report: Mapping[Any, Any] | None) -> dict[str, Any]:
    """Converts what ``Recipe.report`` returned to JSON: arrays to lists, NaN and infinity to None, objects to text."""

    def named(x: Any) -> Any:
        return {str(name): named(y) for name, y in x.items()} if isinstance(x, Mapping) else x

    text = json.dumps(named(report or {}), default=lambda x: x.tolist() if hasattr(x, "tolist") else str(x))
    return dict(json.loads(text, parse_constant=lambda name: None))


def display_figures(report: Mapping[str, Any]) -> dict[str, str]:
    """Formats the figures of a report."""
    return {display_name(name): f"{x:,.4f}" if isinstance(x, float) else str(x) for name, x in report.items()}


def table(config: RunConfig, splits: Splits, result: dict[str, Any]) -> str:
    """Formats the scores and report of a run."""
    rows = score_rows(config.train.published, result, splits.spec.shape)
    report = display_figures(result["report"])
    width, figure_width = max(len(model) for model, *_ in rows), max(map(len, report), default=0)
    lines = [f"{model:{width}} {split:12}" + "".join(f" {x:>10}" for x in figures) for model, split, *figures in rows]
    return "\n".join([*lines, *(f"{name:{figure_width}} {x:>10}" for name, x in report.items())])


def summary(config: RunConfig, workdir: Path, result: dict[str, Any]) -> dict[str, Any]:
    """Builds the JSON summary, the last line of the training command."""
    measure, validation = result["measure"], result["scores"]["validation"]
    return {
        "dataset": config.data.dataset,
        "split": "validation",
        **{name: value for name, value in validation.items() if name != "data"},
        f"test_{measure}": result["scores"].get("test", {}).get(measure),
        **{name: result[name] for name in ("report", "train_seconds")},
        "samples": str(workdir / "samples.png"),
        "workdir": str(workdir),
    }
