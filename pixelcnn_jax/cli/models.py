"""The command ``models``: published models and their scores."""

import json
from typing import Any

import click

from pixelcnn_jax.cli import options
from pixelcnn_jax.zoo.pretrained import pretrained_names, read_card

COLUMNS = ("model", "data", "levels", "density", "bits/dim", "nats", "parameters")


def row(name: str) -> dict[str, Any]:
    """Builds a model's row, with the test or else validation score."""
    card = read_card(name)
    score = card["scores"].get("test") or card["scores"]["validation"]
    figures = (round(score["bits_per_dim"], 4), round(score["nats"], 2), card["parameters"])
    values = (name, score["data"], card["image_spec"].levels, card["density"], *figures)
    return dict(zip(COLUMNS, values, strict=True))


@click.command()
@options.json_option
def models(as_json: bool) -> None:
    """List the published models with their likelihood."""
    rows = [row(name) for name in pretrained_names()]
    if as_json:
        click.echo(json.dumps(rows))
        return
    start, width = "{:{width}}  {:18}  {:>6}  {:13}  ", max(len(record["model"]) for record in rows)
    click.echo((start + "{:>8}  {:>8}  {:>10}").format(*COLUMNS, width=width))
    for name, data, *facts in (record.values() for record in rows):
        click.echo((start + "{:>8.4f}  {:>8.2f}  {:>10,}").format(name, data.split()[0], *facts, width=width))
