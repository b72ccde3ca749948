"""Plots the chains of trainings behind three published models: the likelihood after each, by images and by hours.

python -m tools.landscape [-o docs/pictures/landscape.png]

The minutes and scores are those of the docstrings of the configs, and the images follow from the configs.
"""

import importlib
import io
import re
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import click
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pixelcnn_jax.foundation.files import atomic_write
from pixelcnn_jax.foundation.user_command import UserCommand


class Chain(NamedTuple):
    """Configs of numbered steps by their label, what their scores are, and published test scores."""

    configs: dict[str, str]
    title: str
    published: dict[str, float]


CHAINS = (
    Chain(
        {"cifar10": "configs.cifar10"},
        "CIFAR-10, bits/dim on validation",
        {"PixelCNN": 3.14, "Row LSTM": 3.07, "Gated PixelCNN": 3.03, "Diagonal BiLSTM": 3.00},  # 1601.06759, 1606.05328
    ),
    Chain(
        {
            "binarized_mnist_convolutional": "configs.binarized_mnist_convolutional",
            "binarized_mnist": "configs.binarized_mnist",
        },
        "binary MNIST, nats on test",
        {
            "PixelCNN": 81.30,
            "Row LSTM": 80.54,
            "Gated PixelCNN": 80.10,
            "Diagonal BiLSTM": 79.20,
        },  # 1601.06759, 1611.05013
    ),
)


def numbers(module: ModuleType, start: str, end: str) -> np.ndarray:
    """Reads the numbers between two words of a docstring."""
    found = re.search(rf"^{start} ([^{end[0]}]*){end}", module.__doc__ or "", flags=re.MULTILINE)
    assert found, f"{module.__name__} does not say {start}"
    return np.array([float(x) for x in re.findall(r"[\d.]+\d", found[1])])


def draw(axes: Axes, chain: Chain, *, hours: bool) -> None:
    for i, (label, name) in enumerate(chain.configs.items()):
        color, module = f"C{i}", importlib.import_module(name)
        minutes, scores = numbers(module, "Time:", "minutes"), numbers(module, "Result:", ";")
        configs = [module.get_config(str(step + 1)) for step in range(len(scores))]
        images = np.array([config.train.steps * config.train.batch_size for config in configs])
        cost = np.cumsum(minutes / 60 if hours else images / 1000)
        is_done = [config.optimizer.schedule != "constant" or bool(config.optimizer.decay) for config in configs]
        axes.plot(cost, scores, "-", color=color, linewidth=1, label=label)
        axes.scatter(cost, scores, facecolors=np.where(is_done, color, "white"), edgecolors=color, zorder=3)
    for name, score in chain.published.items():
        axes.axhline(score, color="grey", linewidth=0.8, linestyle=":")
        axes.annotate(f"{name} {score:.2f}", (0.02, score), xycoords=("axes fraction", "data"), va="bottom", size=8)
    axes.set(xlabel="hours on one CPU core" if hours else "thousand training images", ylabel=chain.title)
    axes.set_xlim(0, None)
    axes.grid(alpha=0.3)
    axes.legend()


@click.command(cls=UserCommand)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("docs/pictures/landscape.png"))
def main(output: Path) -> None:
    """Draw the picture."""
    figure = Figure(figsize=(10, 6.5), layout="constrained")
    for row, chain in zip(figure.subplots(2, 2), CHAINS, strict=True):
        for axes, hours in zip(row, (False, True), strict=True):
            draw(axes, chain, hours=hours)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=130)
    atomic_write(output, png.getvalue())


if __name__ == "__main__":
    main()
