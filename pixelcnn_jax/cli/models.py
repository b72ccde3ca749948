"""The verb ``models``: the published models and what they reached."""

import json
from typing import Any

import click

from pixelcnn_jax.cli import options
from pixelcnn_jax.pretrained import pretrained_names, read_card

COLUMNS = ("model", "data", "density", "bits/dim", "nats", "parameters")


def row(name: str) -> dict[str, Any]:
    """Returns the line of a published model: its score on test images, or else on validation images."""
    card = read_card(name)
    split = "test" if "test" in card["scores"] else "validation"
    score = card["scores"][split]
    values = (score["data"], card["score_of"], round(score["bits_per_dim"], 4), round(score["nats"], 2))
    return dict(zip(COLUMNS, (name, *values, card["parameters"]), strict=True))


@click.command()
@options.json_option
def models(as_json: bool) -> None:
    """List the published models: data, likelihood of held-out images, size."""
    rows = [row(name) for name in pretrained_names()]
    if as_json:
        click.echo(json.dumps(rows))
        return
    cells = [COLUMNS, *([f"{x:,}" if isinstance(x, int) else str(x) for x in one.values()] for one in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
