"""The page of a run, ``report.html``: one self-contained file."""

import base64
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from pixelcnn_jax.foundation.fields import read_section
from pixelcnn_jax.foundation.files import atomic_write, try_read_json
from pixelcnn_jax.models.inputs import ImageSpec
from pixelcnn_jax.training.metrics import read_records
from pixelcnn_jax.training.summary import display_figures, score_rows

# Read at import: the checkout may change during training.
PAGE = jinja2.Environment(
    autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
).from_string((Path(__file__).parent / "report.html.jinja").read_text())
Commands = Callable[[Path], list[str]]  # what to do with a run
MAX_PICTURES = 24  # validations on the page, to keep it small


def write_report(workdir: Path, commands: Commands, result: Mapping[str, Any]) -> None:
    """Writes ``report.html`` of a run; ``result`` is empty until it is finished."""
    atomic_write(workdir / "report.html", report_html(workdir, commands, result))


def report_html(workdir: Path, commands: Commands, result: Mapping[str, Any]) -> str:
    """Renders facts, scores, curve and samples; then the command of the run, and those that ``commands`` suggests."""
    run, card = (try_read_json(workdir / f"{name}.json") for name in ("config", "model"))
    config, spec = run["config"], read_section(ImageSpec, run["images"]["spec"], name="images")
    file = workdir / "metrics.jsonl"
    records = read_records(file) if file.exists() else []
    drawn = sorted(file for file in workdir.glob("samples_*.png") if file.stem.removeprefix("samples_").isdecimal())
    kept = sorted({round(i) for i in np.linspace(0, len(drawn) - 1, MAX_PICTURES)}) if drawn else []
    pictures = [{"step": int(drawn[i].stem.removeprefix("samples_")), "data": _embed(drawn[i])} for i in kept]
    return PAGE.render(
        name=workdir.absolute().name,
        facts=_facts(run, card, records),
        progress=f"{records[-1]['step'] if records else 0:,} of {config['train']['steps']:,} steps",
        is_finished=bool(result),
        scores=score_rows(config["train"]["published"], result or card, spec.shape),
        figures=display_figures(result.get("report", {})),
        curve=_embed(workdir / "curve.png"),
        pictures=pictures,
        best=_embed(workdir / "samples.png"),
        caption=card.get("caption", ""),
        best_step=card.get("step", 0),
        folder=shlex.quote(str(Path.cwd())),
        commands=([run["command"]] if "command" in run else []) + commands(workdir),
    )


def _in_words(network: Any) -> str:
    """Formats the description of a network, without fields that are zero or None."""
    if not isinstance(network, dict):
        return str(network)
    fields = (f"{key.replace('_', ' ')} {_in_words(x)}" for key, x in network.items() if key != "class" and x)
    return f"{network.get('class', '')} ({', '.join(fields)})".strip()


def _facts(run: dict[str, Any], card: dict[str, Any], records: list[dict[str, Any]]) -> dict[str, str]:
    config, spec = run["config"], run["images"]["spec"]
    counts = ", ".join(f"{count:,} {name}" for name, count in run["images"]["counts"].items())
    size = "{height}x{width}x{channels}, {levels} levels".format(**spec)
    facts = {
        "experiment": f"{config['experiment']}, {card['density']}" if card else config["experiment"],
        "data": f"{config['data']['dataset']}: {counts} images, {size}",
        "optimizer": "{name}, {schedule} learning rate {learning_rate}".format(**config["optimizer"]),
    }
    if card:
        facts["model"] = _in_words(card["networks"])
        facts["parameters"] = f"{card['parameters']:,}"
    if records:
        facts["training time"] = f"{records[-1]['seconds'] / 60:.1f} minutes"
    return facts


def _embed(file: Path) -> str | None:
    return f"data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()}" if file.exists() else None
