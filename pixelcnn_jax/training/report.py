"""The page of a run, ``report.html``: what its workdir holds, in one file that a browser opens without a network."""

import base64
import json
import re
import shlex
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from pixelcnn_jax.data.image_files import as_png, decode, has_colour
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.foundation.files import atomic_write, interpreter, read_json
from pixelcnn_jax.models.cards import drawn_by_class
from pixelcnn_jax.models.inputs import ImageSpec
from pixelcnn_jax.models.registry import MODULES, REGISTERED
from pixelcnn_jax.training.best import title
from pixelcnn_jax.training.metrics import read_records
from pixelcnn_jax.training.summary import display_figures, score_rows

# Read with the code that fills it: a checkout may change while a run of it trains.
PAGE = jinja2.Environment(
    autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
).from_string((Path(__file__).parent / "report.html.jinja").read_text())
MOST_PICTURES = 24  # validations whose samples the page holds, or it would take long to open


def write_report(workdir: Path) -> None:
    """Writes ``report.html`` of a run, finished or not, from the other files of its workdir."""
    atomic_write(workdir / "report.html", report_html(workdir))


def report_html(workdir: Path) -> str:
    """Returns the page: facts, scores next to published ones, the curve, samples by step, and the commands to go on.

    Pictures that are damaged are left out.
    """
    run, card, result = (_read(workdir / f"{name}.json") for name in ("config", "model", "result"))
    config, spec = run["config"], ImageSpec(**run["images"]["spec"])
    file = workdir / "metrics.jsonl"
    records = read_records(file) if file.exists() else []
    drawn = sorted(file for file in workdir.glob("samples_*.png") if file.stem.removeprefix("samples_").isdecimal())
    kept = sorted({round(i) for i in np.linspace(0, len(drawn) - 1, MOST_PICTURES)}) if drawn else []
    embedded = {int(drawn[i].stem.removeprefix("samples_")): _embed(drawn[i]) for i in kept}
    pictures = [{"step": step, "data": data} for step, data in embedded.items() if data]
    # In other experiments not every image of the grid is one that a network drew in raster order.
    is_animated = "class" in card.get("networks", {}) and drawn_by_class(card)
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
        cell=(spec.width, spec.height) if is_animated and pictures else None,
        folder=shlex.quote(str(Path.cwd())),
        commands=([run["command"]] if "command" in run else []) + _commands(workdir, run, card),
    )


def next_steps(workdir: Path) -> str:
    """Returns where to look at a finished run, and which commands use its model."""
    commands = _commands(workdir, _read(workdir / "config.json"), _read(workdir / "model.json"))
    return "\n".join([f"\nThe report is {workdir / 'report.html'}. Next:", *(f"  {one}" for one in commands)])


def _commands(workdir: Path, run: dict[str, Any], card: dict[str, Any]) -> list[str]:
    """Lists commands for the model of a run, relative to the current folder."""
    python, commands = interpreter(), list[str]()
    data, network = run["config"]["data"], card.get("networks", {})
    classes = {*re.findall('"class": "([^"]*)"', json.dumps(network))}
    own = [REGISTERED.get(name) for name in sorted(classes - MODULES.keys())]
    if "class" in network and not own and drawn_by_class(card):
        split = [] if data["test_split"] else ["--split=validation"]
        where = [f"--data-dir={data['data_dir']}"] if data["data_dir"] else []
        pixelcnn = [python, "-m", "pixelcnn_jax.cli"]
        commands.append(shlex.join([*pixelcnn, "sample", str(workdir), "-o", str(workdir / "grid.png")]))
        commands.append(shlex.join([*pixelcnn, "evaluate", str(workdir), *split, *where]))
    folder, modules = json.dumps(str(workdir)), [kind.__module__ for kind in own if kind]
    # An experiment may register networks of its own, as ablations does. Those of a config file cannot be imported.
    if len(modules) == len(own) and all(PathFinder.find_spec(name.partition(".")[0]) for name in modules):
        code = f"import {', '.join([*modules, 'pixelcnn_jax'])}; print(pixelcnn_jax.load_pretrained({folder}).model)"
        commands.append(shlex.join([python, "-c", code]))
    else:
        fields = ", ".join(f"{key}={x!r}" for key, x in network.items() if key != "class")
        model = f"{network['class']}({fields})" if "class" in network else "..."
        commands.append(f"# in Python: pixelcnn_jax.load_pretrained({folder}, model={model})")
    if (workdir / "tensorboard").is_dir():
        commands.append(shlex.join([python, "-m", "tensorboard.main", f"--logdir={workdir}"]))
    return commands


def _read(file: Path) -> dict[str, Any]:
    try:
        return read_json(file)
    except (OSError, ValueError, TypeError, RecursionError):  # not there yet, or damaged
        return {}


def _facts(run: dict[str, Any], card: dict[str, Any], records: list[dict[str, Any]]) -> dict[str, str]:
    config, spec, last = run["config"], run["images"]["spec"], {key: x for one in records for key, x in one.items()}
    counts = ", ".join(f"{count:,} {name}" for name, count in run["images"]["counts"].items())
    size = "{height}x{width}x{channels}, {levels} levels".format(**spec)
    facts = {
        "experiment": f"{config['experiment']}, {card['density']}" if card else config["experiment"],
        "data": f"{config['data']['dataset']}: {counts} images, {size}",
        "optimizer": "{name}, {schedule} learning rate {learning_rate}".format(**config["optimizer"]),
    }
    if card:
        facts["model"] = title(card["networks"])
        facts["parameters"] = f"{card['parameters']:,}"
    for name, text in (("seconds", "training time"), ("images_per_second", "images a second")):
        if name in last:
            facts[text] = f"{last[name] / 60:.1f} minutes" if name == "seconds" else f"{last[name]:.0f}"
    if "devices" in card:
        facts["devices"] = str(card["devices"])
    return facts


def _embed(file: Path) -> str | None:
    """Returns a PNG as a data URI, without the enlargement of a grid: the page enlarges it again."""
    try:
        pixels = decode(file, colour=has_colour(file))
    except InputError:  # not there yet, or damaged
        return None
    scale = next(s for s in range(min(pixels.shape[:2]), 0, -1) if _consists_of_blocks(pixels, s))
    small = as_png(pixels[::scale, ::scale], optimize=True)
    return f"data:image/png;base64,{base64.b64encode(small).decode()}"


def _consists_of_blocks(pixels: np.ndarray, size: int) -> bool:
    """Whether every pixel of a picture is enlarged to a square of the same size."""
    if any(length % size for length in pixels.shape[:2]):
        return False
    enlarged = pixels[::size, ::size].repeat(size, axis=0).repeat(size, axis=1)
    return bool(np.array_equal(enlarged, pixels))
