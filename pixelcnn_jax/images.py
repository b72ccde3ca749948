"""Pictures: grids of images and learning curves, as PNG."""

from pathlib import Path

import numpy as np
from jaxtyping import Array, Int, UInt8


def grid(
    images: Int[np.ndarray | Array, "rows columns height width channels"], *, levels: int, gap: int = 1
) -> UInt8[np.ndarray, "grid_height grid_width colours"]:
    """Lays images out in rows and columns, ``gap`` grey pixels apart; levels become 0 to 255.

    Three channels are shown as RGB; of any other number the first channel is shown, as grey.
    """
    images = np.asarray(images)
    if images.shape[-1] != 3:
        images = images[..., :1]
    scaled = np.round(images * (255 / (levels - 1))).astype(np.uint8)
    rows, columns, height, width, colours = scaled.shape
    framed = np.full((rows, columns, height + gap, width + gap, colours), 128, np.uint8)
    framed[:, :, gap:, gap:] = scaled
    flat = framed.transpose(0, 2, 1, 3, 4).reshape(rows * (height + gap), columns * (width + gap), colours)
    return np.pad(flat, ((0, gap), (0, gap), (0, 0)), constant_values=128)


def save_grid(
    path: Path, images: Int[np.ndarray | Array, "rows columns height width channels"], *, levels: int, size: int = 640
) -> None:
    """Writes a grid as PNG, small images enlarged by a whole number to about ``size`` pixels, so that pixels show."""
    from PIL import Image

    pixels = grid(images, levels=levels)
    scale = max(1, size // max(pixels.shape[:2]))
    pixels = pixels.repeat(scale, axis=0).repeat(scale, axis=1)
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(path)


def save_curve(path: Path, records: list[dict[str, int | float]], *, title: str) -> None:
    """Draws bits/dim against the step, of the training batches and of validation, from the lines of metrics.jsonl."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, label in (("train_bits_per_dim", "training batches"), ("validation_bits_per_dim", "validation, EMA")):
        points = [(record["step"], record[name]) for record in records if name in record]
        if points:
            axes.plot(*zip(*points, strict=True), label=label, marker="." if len(points) < 50 else None)
    axes.set(xlabel="step", ylabel="bits/dim", title=title)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=100)
