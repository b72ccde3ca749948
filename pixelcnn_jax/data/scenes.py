"""Captioned scenes of MNIST digits, after alignDRAW (1511.02793).

One digit in a corner, or two side by side or stacked. Each place holds out one digit, for the split "held_out".
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from pixelcnn_jax.data.preparation import resize
from pixelcnn_jax.data.source import Example, Source
from pixelcnn_jax.data.splits import Split, parse_split
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.conditioning.text import split_words, tokenise, vocabulary

SIZES = {"mnist_scenes/32x32": 32, "mnist_scenes/60x60": 60}
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
# Corner of a digit's window, in halves of the image.
PLACES = {
    "top left": (0, 0),
    "top right": (0, 1),
    "bottom left": (1, 0),
    "bottom right": (1, 1),
    "left": (0.5, 0),
    "right": (0.5, 1),
    "top": (0, 0.5),
    "bottom": (1, 0.5),
}
HELD_OUT = {place: (7 + 3 * i) % 10 for i, place in enumerate(PLACES)}  # never there in training
MARGIN = 2  # offset range of a digit's window, in pixels


class Scene(NamedTuple):
    """Digits by place."""

    digits: tuple[int, ...]
    places: tuple[str, ...]

    def captions(self) -> tuple[str, ...]:
        names = [f"the digit {DIGITS[digit]}" for digit in self.digits]
        match self.places:
            case ("left", "right"):
                return f"{names[0]} is on the left of {names[1]}", f"{names[1]} is on the right of {names[0]}"
            case ("top", "bottom"):
                return f"{names[0]} is above {names[1]}", f"{names[1]} is below {names[0]}"
        return (f"{names[0]} is at the {self.places[0]}",)

    def is_held_out(self) -> bool:
        """Whether a digit stands where training never has it."""
        return any(HELD_OUT[place] == digit for digit, place in zip(self.digits, self.places, strict=True))


SCENES = (
    *(Scene((digit,), (corner,)) for corner in list(PLACES)[:4] for digit in range(10)),
    *(Scene((a, b), places) for places in (("left", "right"), ("top", "bottom")) for a in range(10) for b in range(10)),
)
CAPTIONS = [caption for scene in SCENES for caption in scene.captions()]
WORDS = vocabulary(CAPTIONS)
LENGTH = max(len(split_words(caption)) for caption in CAPTIONS)


# The drawings of MNIST that a split uses, and the number of its scenes.
SPLITS = {
    "train": ("train[:50000]", 100_000),
    "validation": ("train[50000:]", 2_000),
    "test": ("test", 10_000),
    "held_out": ("test", 2_000),
}

Drawings = Sequence[Sequence[UInt8[np.ndarray, "height width"]]]  # by digit


def draw_scene(
    scene: Scene, drawings: Drawings, random: np.random.Generator, *, size: int
) -> UInt8[np.ndarray, "{size} {size} 1"]:
    """Draws a scene with random drawings and offsets."""
    image = np.zeros((size, size, 1), np.uint8)
    for digit, place in zip(scene.digits, scene.places, strict=True):
        drawing = drawings[digit][int(random.integers(len(drawings[digit])))]
        top, left = (int(part * size / 2) + random.integers(MARGIN, endpoint=True) for part in PLACES[place])
        image[top : top + len(drawing), left : left + len(drawing), 0] = drawing
    return image


def read_scenes(
    name: str, split: Split, read_mnist: Callable[[Split], Source], *, labels: bool, captions: bool
) -> Source:
    """Reads a split of the scenes.

    Args:
      name: a key of ``SIZES``.
      read_mnist: reads a split of MNIST with labels.
      labels: whether to carry scene numbers as labels.

    Raises:
      InputError: for an unknown size or split.
    """
    if name not in SIZES:
        raise InputError(f"dataset={name} must be one of {', '.join(SIZES)}.")
    split.check_name(name, SPLITS)
    size, (drawn_from, count) = SIZES[name], SPLITS[split.name]
    mnist = read_mnist(parse_split(drawn_from))
    side = size // 2 - MARGIN
    drawings: list[list[np.ndarray]] = [[] for _ in DIGITS]
    for drawing in map(mnist.read, mnist.rows):
        drawings[drawing["label"]].append(resize(drawing["image"], height=side, width=side)[..., 0])
    numbers = [i for i, scene in enumerate(SCENES) if scene.is_held_out() == (split.name == "held_out")]
    seed = list(SPLITS).index(split.name)

    def read(row: int) -> Example:
        random = np.random.default_rng([seed, row])
        number = numbers[random.integers(len(numbers))]
        sentences = SCENES[number].captions()
        caption = tokenise(sentences[random.integers(len(sentences))], WORDS, length=LENGTH)
        image = draw_scene(SCENES[number], drawings, random, size=size)
        label = {"label": np.int32(number)} if labels else {}
        return {"image": image} | ({"caption": caption} if captions else {}) | label

    classes, words = len(SCENES) if labels else None, WORDS if captions else None
    return Source(name, split.rows(count, {}), read, classes=classes, words=words, stored=split.name)
