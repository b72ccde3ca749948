"""The results table, from the weights and cards of the package; every figure of it derived again where its data is.

python -m experiments.table [--data_dir=DIR] [--write]

Fails where a figure comes out otherwise than its card has it, and where README.md holds another table. Weights whose
data is not at hand are named, and their figures taken from their cards. With --write README.md gets the new table.
"""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

from experiments import cli, evaluate, trained
from pixelcnn_jax import InputError
from pixelcnn_jax.files import atomic_write
from pixelcnn_jax.pretrained import load_pretrained, pretrained_names, read_card

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- make table: begin -->\n", "<!-- make table: end -->\n"
COLUMNS = (
    "weights",
    "network",
    "of",
    "split",
    "bits/dim (train)",
    "nats (train)",
    "published",
    "parameters",
    "hardware, time",
    "trained by",
)
DIGITS = {"nats": 2, "bits_per_dim": 4}  # that are printed


def main(argv: list[str] | None = None) -> None:
    """Prints the table; a summary as JSON."""
    parser = argparse.ArgumentParser("python -m experiments.table", description=__doc__, formatter_class=cli.AsWritten)
    parser.add_argument("--data_dir", help="where TFDS keeps its data sets; its own default if not given")
    parser.add_argument("--write", action="store_true", help="replace the table in README.md")
    arguments = parser.parse_args(argv)
    cli.report(partial(check, arguments.data_dir, write=arguments.write))


def check(data_dir: str | None, *, write: bool = False) -> dict[str, Any]:
    """Derives, prints and compares. Raises InputError for a figure or a table that differs."""
    lines = [row(COLUMNS), row(["---"] * len(COLUMNS))]
    derived, missing = [], []
    names = pretrained_names()
    if names:  # before any device is used
        cli.use_all_cores(trained.config_from(read_card(names[0])[1]["config"]))
    for name in names:
        _, variables, card = load_pretrained(name)
        config = trained.config_from(card["config"])
        lines += [row(cells) for cells in rows_of(name, card)]
        try:
            for split in card["scores"]:
                found = evaluate.score_of(config, variables, split, data_dir)
                compare(f"{name}, {split}", found, card["scores"][split])
                derived.append(f"{name}, {split}")
        except DifferentError:
            raise
        except InputError as error:
            missing.append(name)
            print(f"{name} is not derived again: {error}", file=sys.stderr)
    table = "".join(f"{line}\n" for line in lines)
    print(table)
    before, in_readme, after = split_readme(README.read_text())
    if write:
        atomic_write(README, before + table + after)
    elif in_readme != table:
        raise InputError(
            "README.md holds another table: see it with git diff after python -m experiments.table --write."
        )
    return {"rows": len(lines) - 2, "derived": derived, "without_data": missing}


class DifferentError(InputError):
    """A figure that does not come out as it was printed."""


def compare(what: str, found: dict[str, Any], printed: dict[str, Any]) -> None:
    """Raises DifferentError unless a score comes out as printed, to the last digit that is printed."""
    if found["images"] != printed["images"]:
        raise DifferentError(f"{what}: {found['images']} images, not {printed['images']}.")
    for name, digits in DIGITS.items():
        # A figure that lies on the edge of two roundings may fall to either side on another processor.
        if not abs(found[name] - printed[name]) <= 0.05 * 10**-digits:
            raise DifferentError(f"{what}: {found[name]:.{digits + 2}f} {name}, not {printed[name]:.{digits + 2}f}.")


def rows_of(name: str, card: dict[str, Any]) -> list[list[str]]:
    """A row a held-out split: its figures, those of training in brackets, as the papers' tables have them."""
    config, scores, model = card["config"], card["scores"], card["model"]
    network = f"{card['network']}, {model['layers']} x {model['features']}"

    def figure(split: str, measure: str) -> str:
        own, train = (f"{scores[of][measure]:.{DIGITS[measure]}f}" for of in (split, "train"))
        return f"{own} ({train})"

    def published(split: str) -> str:
        return "; ".join(f"{model} {value} {unit}" for model, of, unit, value in config["published"] if of == split)

    minutes = f"{card['hardware']}, {card['train_seconds'] / 60:.0f} min"
    return [
        [
            f"`{name}`",
            network,
            f"{card['score_of']}, {scores[split]['data']}",
            f"{split}, {scores[split]['images']:,}",
            figure(split, "bits_per_dim"),
            figure(split, "nats"),
            published(split),
            f"{card['parameters']:,}",
            minutes,
            f"`{card['trained_by']}`",
        ]
        for split in ("validation", "test")
        if split in scores
    ]


def row(cells: list[str] | tuple[str, ...]) -> str:
    """A line of a table in Markdown."""
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def split_readme(text: str) -> tuple[str, str, str]:
    """What comes before the table, the table, and what comes after. Raises InputError where its marks are not."""
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise InputError("README.md must hold the marks of the table once each.")
    before, rest = text.split(BEGIN)
    table, after = rest.split(END)
    return before + BEGIN, table, END + after


if __name__ == "__main__":
    main()
