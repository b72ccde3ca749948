"""Readers of a condition from the command line: `sample` passes them the words after MODEL."""

from collections.abc import Callable, Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Int32, Shaped, UInt8

from pixelcnn_jax.cli.options import Density
from pixelcnn_jax.cli.pictures import read_fitted
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.inputs import Given


def read_given(density: Density, words: Sequence[str], label: str | None, count: int) -> Given | None:
    """Returns the h that ``count`` images share: of a label, or of the words that a user gave to the model.

    Raises:
      InputError: if the words or the label are missing, given to a model that takes none, or do not fit.
    """
    reader = READERS.get(density.part or "")
    if words if reader is None else label is not None:
        excess = f'"{words[0]}"' if reader is None else "--label"
        raise InputError(f"{excess} must be left out: {density.name} is a model of {density.density}.")
    if reader is None:
        return density.h_of(label, count)
    return jnp.repeat(jnp.asarray(reader(density, words))[None], count, axis=0)


def read_examples(density: Density, files: Sequence[str]) -> UInt8[np.ndarray, "examples height width channels"]:
    """Returns image files as a set of examples, cropped and resized as the training images were."""
    most = density.conditioner.max_examples
    if not 1 <= len(files) <= most:
        raise InputError(
            f"--examples must be 1 to {most} images for {density.name} to draw others like them, got {len(files)}."
        )
    return np.stack([read_fitted(Path(file).expanduser(), density) for file in files])


def read_sentence(density: Density, words: Sequence[str]) -> Int32[np.ndarray, " words"]:
    """Returns a sentence as tokens. It may be one argument or a word each."""
    if not " ".join(words).split():
        raise InputError(f'{density.name} needs a sentence after its name, such as "the digit two is at the top left".')
    return np.asarray(density.conditioner.tokens([" ".join(words)])[0])


READERS: dict[str, Callable[[Density, Sequence[str]], Shaped[np.ndarray, "..."]]] = {
    "examples": read_examples,
    "caption": read_sentence,
}
