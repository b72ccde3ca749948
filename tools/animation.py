"""Draws the README's animation: ten digits, one per class, pixel by pixel.

python -m tools.animation [-o docs/pictures/sampling.gif]
"""

from pathlib import Path

import click
import jax
import numpy as np
from PIL import Image

from pixelcnn_jax import load_pretrained, sample
from pixelcnn_jax.foundation.user_command import UserCommand

STEP = 14  # pixels drawn from one frame to the next
SCALE, GAP = 3, 2
NOT_DRAWN, BLACK, WHITE = range(3)
PALETTE = [232, 226, 210, 16, 16, 16, 250, 250, 250]


@click.command(cls=UserCommand)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("docs/pictures/sampling.gif"))
def main(output: Path) -> None:
    """Draw the animation."""
    model, variables, _ = load_pretrained("mnist_classes")
    h = jax.nn.one_hot(np.arange(10), 10)
    images = np.asarray(sample(model, variables, jax.random.key(3), shape=(10, 28, 28), h=h))[..., 0]
    drawn = range(STEP, 28 * 28 + 1, STEP)
    frames = [frame(images, count) for count in drawn]
    times = [60] * (len(frames) - 1) + [2500]
    frames[0].save(output, save_all=True, append_images=frames[1:], duration=times, loop=0, optimize=True)


def frame(images: np.ndarray, count: int) -> Image.Image:
    is_drawn = np.arange(28 * 28).reshape(28, 28) < count
    cells = np.where(is_drawn, images + BLACK, NOT_DRAWN).repeat(SCALE, axis=1).repeat(SCALE, axis=2)
    row = np.pad(cells, ((0, 0), (GAP, GAP), (GAP, GAP)), constant_values=NOT_DRAWN)
    picture = Image.fromarray(np.concatenate([*row], axis=1).astype(np.uint8), "P")
    picture.putpalette(PALETTE)
    return picture


if __name__ == "__main__":
    main()
