"""The page of a run, ``report.html``: one self-contained file."""

import base64
import json
import re
import shlex
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from pixelcnn_jax.foundation.fields import read_section
from pixelcnn_jax.foundation.files import atomic_write, interpreter, try_read_json
from pixelcnn_jax.models.inputs import ImageSpec
from pixelcnn_jax.models.registry import MODULES
from pixelcnn_jax.pretrained import name_of
from pixelcnn_jax.training.metrics import read_records
from pixelcnn_jax.training.summary import display_figures, score_rows

# Read at import: the checkout may change during training.
PAGE = jinja2.Environment(
    autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
).from_string((Path(__file__).parent / "report.html.jinja").read_text())
MOST_PICTURES = 24  # validations on the page, to keep it small


def write_report(workdir: Path) -> None:
    """Writes ``report.html`` of a run, finished or not."""
    atomic_write(workdir / "report.html", report_html(workdir))


def report_html(workdir: Path) -> str:
    """Renders facts, scores, curve, samples and commands."""
    run, card, result = (try_read_json(workdir / f"{name}.json") for name in ("config", "model", "result"))
    config, spec = run["config"], read_section(ImageSpec, run["images"]["spec"], name="images")
    file = workdir / "metrics.jsonl"
    records = read_records(file) if file.exists() else []
    drawn = sorted(file for file in workdir.glob("samples_*.png") if file.stem.removeprefix("samples_").isdecimal())
    kept = sorted({round(i) for i in np.linspace(0, len(drawn) - 1, MOST_PICTURES)}) if drawn else []
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
        commands=([run["command"]] if "command" in run else []) + _commands(workdir, run, card),
    )


def next_steps(workdir: Path) -> str:
    """Lists commands that use a finished run's model."""
    commands = _commands(workdir, *(try_read_json(workdir / name) for name in ("config.json", "model.json")))
    return "\n".join([f"\nThe report is {workdir / 'report.html'}. Next:", *(f"  {command}" for command in commands)])


def _commands(workdir: Path, run: dict[str, Any], card: dict[str, Any]) -> list[str]:
    python, commands = interpreter(), list[str]()
    data, network = run["config"]["data"], card.get("networks", {})
    is_own = not {*re.findall('"class": "([^"]*)"', json.dumps(network))} <= MODULES.keys()
    if "class" in network and not is_own and card.get("density") in ("p(x)", "p(x|y)"):
        split = [] if data["test_split"] else ["--split=validation"]
        where = [f"--data-dir={data['data_dir']}"] if data["data_dir"] else []
        pixelcnn = [python, "-m", "pixelcnn_jax.cli"]
        commands.append(shlex.join([*pixelcnn, "sample", name_of(workdir), "-o", str(workdir / "grid.png")]))
        commands.append(shlex.join([*pixelcnn, "evaluate", name_of(workdir), *split, *where]))
    folder = json.dumps(name_of(workdir))
    if is_own:
        fields = ", ".join(f"{key}={x!r}" for key, x in network.items() if key != "class")
        model = f"{network['class']}({fields})" if "class" in network else "..."
        commands.append(f"# in Python: pixelcnn_jax.load_pretrained({folder}, model={model})")
    else:
        code = f"import pixelcnn_jax; print(pixelcnn_jax.load_pretrained({folder}).model)"
        commands.append(shlex.join([python, "-c", code]))
    if (workdir / "tensorboard").is_dir():
        commands.append(shlex.join([python, "-m", "tensorboard.main", f"--logdir={workdir}"]))
    return commands


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
