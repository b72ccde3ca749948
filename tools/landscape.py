"""Plots the published models: test likelihood by parameters and by training hours.

python -m tools.landscape [-o docs/pictures/landscape.png]

Other points are figures of papers, or outputs in the named repository.
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from pixelcnn_jax.foundation.files import atomic_write
from pixelcnn_jax.foundation.user_command import UserCommand
from pixelcnn_jax.models.model_card import UNCONDITIONAL
from pixelcnn_jax.pretrained import pretrained_names, read_card
from tools.table import seconds_of

MILLION = 1e6
COLOURS = {"GatedPixelCNN": "C0", "PixelCNN": "C1", "RowLSTM": "C2", "DiagonalBiLSTM": "C3"}


COSTS: dict[str, Callable[[dict[str, Any]], float]] = {
    "parameters": lambda card: card["parameters"],
    "hours of training on one CPU core": lambda card: seconds_of(card) / 3600,
}


class Data(NamedTuple):
    """A test set, its unit and the published figures."""

    title: str
    dataset: str
    measure: str
    published: tuple[tuple[str, float, float | None], ...]  # name, score, parameters if they are printed


PANELS = (
    Data(
        "CIFAR-10, bits/dim",
        "cifar10",
        "bits_per_dim",
        (
            ("NeLLoC", 3.383, 0.129 * MILLION),  # zmtomorrow/NeLLoC, BPD_test.ipynb
            ("NeLLoC", 3.282, 0.326 * MILLION),
            ("NeLLoC", 3.247, 0.721 * MILLION),
            ("PixelCNN++", 2.92, 53 * MILLION),  # 1701.05517
            ("PixelSNAIL", 2.85, 46 * MILLION),  # 1712.09763
            ("PixelCNN 3.14", 3.14, None),  # 1601.06759
            ("Gated PixelCNN 3.03", 3.03, None),  # 1606.05328
            ("Diagonal BiLSTM 3.00", 3.00, None),  # 1601.06759
        ),
    ),
    Data(
        "binary MNIST (fixed binarisation), nats",
        "binarized_mnist",
        "nats",
        (
            ("PixelCNN 81.30", 81.30, None),  # 1601.06759
            ("Gated PixelCNN 80.10", 80.10, None),  # the authors of PixelVAE, 1611.05013
            ("Diagonal BiLSTM 79.20", 79.20, None),  # 1601.06759
        ),
    ),
)


@click.command(cls=UserCommand)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("docs/pictures/landscape.png"))
def main(output: Path) -> None:
    """Draw the picture."""
    figure = Figure(figsize=(10, 6.5), layout="constrained")
    for row, data in zip(figure.subplots(2, 2), PANELS, strict=True):
        cards = [card for card in map(read_card, pretrained_names()) if is_ours(card, data)]
        for axes, by in zip(row, COSTS, strict=True):
            draw(axes, data, cards, by=by)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=130)
    atomic_write(output, png.getvalue())


def is_ours(card: dict[str, Any], data: Data) -> bool:
    """Whether a card is of a float model of p(x) scored on this test set."""
    same = card["config"].get("data", {}).get("dataset") == data.dataset and card["dtype"] == "float32"
    return same and card["density"] == UNCONDITIONAL and "test" in card["scores"]


def draw(axes: Axes, data: Data, cards: list[dict[str, Any]], *, by: str) -> None:
    for kind, colour in COLOURS.items():
        ours = [card for card in cards if card["config"]["model"]["network"] == kind]
        if points := [(COSTS[by](card), card["scores"]["test"][data.measure]) for card in ours]:
            axes.plot(*zip(*points, strict=True), "o", color=colour, label=f"{kind}, here")
    for name, score, parameters in data.published:
        if parameters is None:
            axes.axhline(score, color="grey", linewidth=0.8, linestyle=":")
            axes.annotate(name, (0.02, score), xycoords=("axes fraction", "data"), va="bottom", size=8)
        elif by == "parameters":
            axes.plot(parameters, score, "x", color="black")
            left = parameters > 10 * MILLION
            place = {"xytext": (-5 if left else 5, 3), "textcoords": "offset points", "ha": "right" if left else "left"}
            axes.annotate(name, (parameters, score), size=8, **place)
    axes.set(xscale="log" if by == "parameters" else "linear", xlabel=by, ylabel=data.title)
    axes.set_xlim((0.1 * MILLION, max(MILLION, axes.get_xlim()[1])) if by == "parameters" else (0, None))
    axes.xaxis.set_major_formatter(lambda x, _: f"{x / MILLION:g} M" if x >= 1e4 else f"{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


if __name__ == "__main__":
    main()
