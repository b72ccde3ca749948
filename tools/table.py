"""The results tables, from the cards of the published models; every figure is derived again where its data is.

python -m tools.table [MODEL ...] [--data-dir=DIR] [--write]

Fails if a figure differs from its card, or if the table in README.md or docs/published_models.md does; --write replaces
both tables. Models whose data is missing are named, and their figures taken from their cards; so are those of
all but the models that are given, if any are.
"""

from pathlib import Path
from typing import Any

import click

from pixelcnn_jax.cli.evaluate import evaluate_split, use_all_cores
from pixelcnn_jax.cli.options import UserCommand, load_density
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.foundation.files import atomic_write
from pixelcnn_jax.pretrained import pretrained_names, read_card

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- make table: begin -->\n", "<!-- make table: end -->\n"
DIGITS = {"nats": 2, "bits_per_dim": 4}  # printed after the decimal point
COLUMNS = ("model", "data", "bits/dim (train)", "nats (train)", "hardware, time")
MORE_COLUMNS = ("network", "split", "parameters", "published", "trained by")


def rows_of(name: str) -> list[dict[str, str]]:
    """Returns a row for each held-out split of a model, with the figures of training in brackets as in the papers."""
    card = read_card(name)
    scores, model, train = card["scores"], card["config"]["model"], card["config"]["train"]
    minutes = (card["train_seconds"] + card.get("earlier_seconds", 0)) / 60

    def figure(split: str, measure: str) -> str:
        held_out, of_training = (f"{scores[one][measure]:.{DIGITS[measure]}f}" for one in (split, "train"))
        return f"{held_out} ({of_training})"

    return [
        {
            "model": f"`{name}`",
            "data": f"{card['density']}, {scores[split]['data']}",
            "bits/dim (train)": figure(split, "bits_per_dim"),
            "nats (train)": figure(split, "nats"),
            "hardware, time": f"{card['hardware']}, {minutes:.0f} min",
            "network": f"{model['network']}, {model['layers']} x {model['features']}",
            "split": f"{split}, {scores[split]['images']:,}",
            "parameters": f"{card['parameters']:,}",
            "published": "; ".join(f"{x} {value} {unit}" for x, of, unit, value in train["published"] if of == split),
            "trained by": f"`{card['command']}`",
        }
        for split in ("test", "validation")
        if split in scores
    ]


def tables() -> dict[Path, str]:
    """Returns the tables by the file that holds them: the test scores of some models, and all of all models."""
    short = [rows_of(name)[0] for name in pretrained_names() if not name.endswith("_integer")]
    long = [row for name in pretrained_names() for row in rows_of(name)]
    return {
        ROOT / "README.md": markdown(COLUMNS, short),
        ROOT / "docs/published_models.md": markdown(COLUMNS + MORE_COLUMNS, long),
    }


def markdown(columns: tuple[str, ...], rows: list[dict[str, str]]) -> str:
    """Returns a table in Markdown."""
    lines = [
        columns,
        ["---"] * len(columns),
        *([row[column].replace("|", "\\|") for column in columns] for row in rows),
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def replace_table(text: str, table: str) -> str:
    """Returns a page with a different table between its marks."""
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise InputError(f"The page must hold the marks {BEGIN.strip()} and {END.strip()} once each.")
    return text.partition(BEGIN)[0] + BEGIN + table + END + text.partition(END)[2]


def compare(what: str, derived: dict[str, Any], printed: dict[str, Any]) -> None:
    """Raises InputError unless a score equals that of a card to the last digit that is printed, or to one in a million.

    A float32 sum over an image holds no more.
    """
    for name, digits in {"images": 0, **DIGITS}.items():
        # A figure on the edge of two roundings may fall to either side on a different processor.
        if not abs(derived[name] - printed[name]) <= max(0.05 * 10**-digits, 1e-6 * abs(printed[name])):
            raise InputError(f"{what}: {name} must be {printed[name]}, as the card says, got {derived[name]}.")


def derive(name: str, data_dir: str | None) -> None:
    """Computes every score of a model again and compares; says so if the data is missing."""
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
@click.option("--data-dir", help="Where TFDS keeps its data sets; its own default if not given.")
@click.option("--write", is_flag=True, help="Replace the tables.")
def main(models: tuple[str, ...], data_dir: str | None, write: bool) -> None:
    """Derive every published figure again, or those of some models, and compare or write the tables."""
    use_all_cores()
    for name in models or pretrained_names():
        derive(name, data_dir)
    for page, table in tables().items():
        text = page.read_text()
        new = replace_table(text, table)
        if write:
            atomic_write(page, new)
        elif new != text:
            raise InputError(f"{page} holds a different table: run python -m tools.table --write and see git diff.")
        click.echo(table)


if __name__ == "__main__":
    main()
