"""The README's table of results, from model cards, checked where data is available.

python -m tools.table [MODEL ...] [--data-dir=DIR] [--write]

Fails if a figure differs from its card or the table from README.md; --write replaces the table.
"""

import re
from pathlib import Path
from typing import Any

import click

from pixelcnn_jax import InputError, pretrained_names
from pixelcnn_jax.cli.evaluate import evaluate_split
from pixelcnn_jax.cli.options import load_density
from pixelcnn_jax.foundation.devices import use_all_cores
from pixelcnn_jax.foundation.files import atomic_write
from pixelcnn_jax.foundation.user_command import UserCommand
from pixelcnn_jax.zoo.pretrained import read_card

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- make table: begin -->\n", "<!-- make table: end -->\n"
SHORT = ("binarized_mnist", "mnist", "cifar10", "cifar10_classes", "digits")  # the rows of README
DIGITS = {"nats": 2, "bits_per_dim": 4}  # printed after the decimal point


def seconds_of(card: dict[str, Any]) -> float:
    """Sums the training times of a model and its warm starts."""
    return card["train_seconds"] + card.get("earlier_seconds", 0)


def training_of(card: dict[str, Any]) -> dict[str, str]:
    """Formats parameters, training time of the chain and augmentation of the last training."""
    config = card["config"]
    section, shifts = config[card["experiment"]], ", shifts" * (card["experiment"] == "unconditional")
    views = "rotations by 180°" if section.get("views") == [3] else "flips, transposes" + shifts
    return {
        "parameters": f"{card['parameters']:,}",
        "training": f"{seconds_of(card) / 60:.0f} min",
        "augmentation": views if section.get("augment", 0) else "flips" if config["data"]["flip"] else "none",
    }


def published(card: dict[str, Any], split: str) -> str:
    return "; ".join(f"{who} {value}" for who, of, _, value in card["config"]["train"]["published"] if of == split)


def short_row(name: str) -> dict[str, str]:
    """Formats a model's test score beside published ones."""
    card = read_card(name)
    test, measure = card["scores"]["test"], "nats" if card["image_spec"].levels == 2 else "bits_per_dim"
    score = f"{test[measure]:.{2 if measure == 'nats' else 3}f} {'nats' if measure == 'nats' else 'bits/dim'}"
    data = f"{card['density']}, {test['data'].partition(' ')[0]}"
    others = sorted((value, who) for who, of, _, value in card["config"]["train"]["published"] if of == "test")
    papers = "<br>".join(f"{value} {re.sub(r' [(][0-9.]+[)]', '', who)}" for value, who in others)  # no arXiv ids
    return {"model": f"`{name}`", "density and data": data, "here": score, "published PixelCNNs and PixelRNNs": papers}


def rows_of(name: str) -> list[dict[str, str]]:
    """Formats each held-out split of a model, training figures in brackets."""
    card = read_card(name)
    scores, model = card["scores"], card["config"]["model"]

    def figure(split: str, measure: str) -> str:
        held_out, of_training = (f"{scores[x][measure]:.{DIGITS[measure]}f}" for x in (split, "train"))
        return f"{held_out} ({of_training})"

    return [
        {
            "model": f"`{name}`",
            "data": f"{card['density']}, {scores[split]['data']}, {scores[split]['images']:,} images",
            "bits/dim (train)": figure(split, "bits_per_dim"),
            "nats (train)": figure(split, "nats"),
            "published": published(card, split),
            "network": f"{model['network']}, {model['layers']} layers of {model['features']}",
            **training_of(card),
            "hardware of the last training": card["hardware"],
            "last command": f"`{card['command']}`",
        }
        for split in ("test", "validation")
        if split in scores
    ]


def short_table() -> str:
    return markdown([short_row(name) for name in SHORT])


def markdown(rows: list[dict[str, str]]) -> str:
    columns = list(rows[0])
    lines = [columns, ["---"] * len(columns), *([x.replace("|", "\\|") for x in row.values()] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def replace_table(text: str, table: str) -> str:
    """Replaces the table between the marks of a page."""
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise InputError(f"The page must hold the marks {BEGIN.strip()} and {END.strip()} once each.")
    return text.partition(BEGIN)[0] + BEGIN + table + END + text.partition(END)[2]


def compare(what: str, derived: dict[str, Any], printed: dict[str, Any]) -> None:
    """Raises InputError unless scores agree as printed, or to 1e-6 (float32)."""
    for name, digits in {"images": 0, **DIGITS}.items():
        # A figure on the edge of two roundings may fall to either side on a different processor.
        if not abs(derived[name] - printed[name]) <= max(0.05 * 10**-digits, 1e-6 * abs(printed[name])):
            raise InputError(f"{what}: {name} must be {printed[name]}, as the card says, got {derived[name]}.")


def derive(name: str, data_dir: str | None) -> None:
    """Recomputes and compares every score of a model, if its data is available."""
    density = load_density(name)
    for split, printed in density.card["scores"].items():
        try:
            derived = evaluate_split(density, split, data_dir)
        except InputError as error:
            click.echo(f"{name} is not derived again: {error}", err=True)
            return
        compare(f"{name}, {split}", derived, printed)
        click.echo(f"{name}, {split}: {derived['nats']:.2f} nats, as printed", err=True)


@click.command(cls=UserCommand)
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--data-dir", help="TFDS data directory. [default: that of TFDS]")
@click.option("--write", is_flag=True, help="Replace the table.")
def main(models: tuple[str, ...], data_dir: str | None, write: bool) -> None:
    """Derive published figures again, and compare or write the table."""
    use_all_cores()
    for name in models or pretrained_names():
        derive(name, data_dir)
    page, table = ROOT / "README.md", short_table()
    new = replace_table(text := page.read_text(), table)
    if write:
        atomic_write(page, new)
    elif new != text:
        raise InputError(f"{page} holds a different table: run python -m tools.table --write and see git diff.")
    click.echo(table)


if __name__ == "__main__":
    main()
