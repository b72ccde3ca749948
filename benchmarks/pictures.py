"""How many bytes pictures take that are not of the data set: photographs, rendered text and a plot.

The codec compresses each as it is, and in bands of --rows rows, which are images of one group and decoded at once. PNG,
WebP and JPEG XL are those of benchmarks/compression.py. With --decode both are decoded again and compared, which for
the photographs as they are takes minutes.
"""

import json
import textwrap
import time
from pathlib import Path
from typing import Any

import click
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from sklearn.datasets import load_sample_images

from benchmarks.compression import FORMATS
from pixelcnn_jax import compress, decompress, load_pretrained
from pixelcnn_jax.cli.options import UserCommand
from pixelcnn_jax.pretrained import integer_model_of

LICENSE = Path(__file__).parents[1] / "LICENSE"


def pictures() -> dict[str, np.ndarray]:
    """Returns pictures [height, width, 3] by name."""
    china, flower = load_sample_images().images
    return {"china.jpg": china, "flower.jpg": flower, "text": text(), "plot": plot()}


def text() -> np.ndarray:
    """Returns the start of the license, dark on white and smoothed by the font renderer."""
    picture, font = Image.new("RGB", (320, 240), "white"), ImageFont.load_default(12)
    lines = textwrap.wrap(" ".join(LICENSE.read_text().split()), 50)[:16]
    ImageDraw.Draw(picture).multiline_text((4, 4), "\n".join(lines), fill=(20, 20, 20), font=font, spacing=2)
    return np.asarray(picture)


def plot() -> np.ndarray:
    """Returns two curves in axes, as matplotlib draws them."""
    figure, axes = plt.subplots(figsize=(3.2, 2.4), dpi=100)
    x = np.linspace(0, 10, 200)
    axes.plot(x, np.sin(x), label="sin")
    axes.plot(x, np.exp(-x / 4), label="exp")
    axes.legend()
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()  # type: ignore[attr-defined]
    plt.close(figure)
    return pixels


def in_bands(picture: np.ndarray, rows: int) -> list[np.ndarray]:
    """Returns images of ``rows`` rows, and the rest of the picture as one more."""
    whole = len(picture) // rows * rows
    bands = picture[:whole].reshape(-1, rows, *picture.shape[1:])
    return [bands] + ([picture[None, whole:]] if whole < len(picture) else [])


@click.command(cls=UserCommand, help=__doc__)
@click.option("--model", "name", default="cifar10", show_default=True, help="Published name.")
@click.option("--rows", default=32, show_default=True, help="Rows of a band.")
@click.option("--decode/--no-decode", default=False, show_default=True, help="Decode and compare.")
def main(name: str, rows: int, decode: bool) -> None:
    model, variables, _ = load_pretrained(integer_model_of(name))
    result: dict[str, Any] = {"benchmark": "pictures", "model": name}
    for title, picture in pictures().items():
        row: dict[str, Any] = {"shape": picture.shape}
        for kind, parts in (("whole", [picture[None]]), ("bands", in_bands(picture, rows))):
            coded = [compress(model, variables, part, verify=False) for part in parts]
            row[kind] = sum(map(len, coded))
            if decode:
                began = time.perf_counter()
                for part, data in zip(parts, coded, strict=True):
                    assert np.array_equal(decompress(model, variables, data), part)
                row[f"{kind}_decoded_s"] = round(time.perf_counter() - began, 1)
        row |= {form: len(encode(Image.fromarray(picture))) for form, (encode, _) in FORMATS.items()}
        result[title] = row
        print(title, row, flush=True)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
