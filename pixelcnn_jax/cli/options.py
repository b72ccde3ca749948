"""Shared options, model loading, progress bars and output checks."""

import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pixelcnn_jax.code_model import CodeModel
from pixelcnn_jax.data.loading import DataConfig
from pixelcnn_jax.foundation.errors import InputError, first_line
from pixelcnn_jax.foundation.fields import Section, read_section
from pixelcnn_jax.foundation.progress import progress_bar
from pixelcnn_jax.foundation.user_command import path
from pixelcnn_jax.likelihood import nll
from pixelcnn_jax.models.autoregressive import Network
from pixelcnn_jax.models.conditioning.conditional_model import ConditionalModel, apply_conditioner
from pixelcnn_jax.models.inputs import ImageSpec
from pixelcnn_jax.zoo.model_card import CONDITION_KEYS
from pixelcnn_jax.zoo.pretrained import load_pretrained

MAX_BATCH_SUBPIXELS = 2**22  # per batch
SECONDS = 10  # between reports of progress in a pipe
model_argument = click.argument("name", metavar="MODEL")
label_option = click.option("--label", help='Class name or index, or "folder" if a folder above each image names it.')
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


def output_option(help: str) -> Callable[[Any], Any]:
    """Makes the option of a new output."""
    return click.option("-o", "--output", type=path, required=True, help=f"{help}; nothing is overwritten.")


class Density(NamedTuple):
    """A trained model of p(x), p(x | y) or another of ``model_card.CONDITION_KEYS``.

    Attributes:
      name: as the user gave it.
      model, variables, card: as from ``load_pretrained``.
    """

    name: str
    model: Any  # of one's own too: a module with levels and channels
    variables: dict[str, Any]
    card: dict[str, Any]

    @property
    def spec(self) -> ImageSpec:
        return self.card["image_spec"]

    @property
    def conditioner(self) -> Any:
        return getattr(self.model, "conditioner", None)

    @property
    def part(self) -> str | None:
        """Batch key of the condition; None for p(x)."""
        return CONDITION_KEYS[self.card["density"]]

    @property
    def classes(self) -> int:
        """Number of classes; 0 for unlabelled models."""
        return (self.part == "label" and self.spec.classes) or 0

    @property
    def data(self) -> DataConfig:
        """Config of the training data."""
        return self.settings("data", DataConfig)

    def settings(self, section: str, kind: type[Section]) -> Section:
        """Reads a section of the training config, by default its defaults.

        Raises:
          InputError: if the card has other fields.
        """
        return read_section(kind, self.card["config"].get(section, {}), name=f"config.{section} of {self.name}")

    def h(self, labels: Any) -> Float[Array, "batch classes"] | None:
        """Encodes labels as one-hot; None for p(x)."""
        return jax.nn.one_hot(jnp.asarray(labels), self.classes) if self.classes else None

    def h_in(self, batch: Mapping[str, Any]) -> Any:
        """Extracts a batch's condition; None for p(x)."""
        return self.h(batch[self.part]) if self.part == "label" else batch[self.part] if self.part else None

    def loss(self, variables: Any, images: Array, h: Any) -> Float[Array, " batch"]:
        """Computes the nats of images, or the bits of their codes."""
        if isinstance(self.model, CodeModel):
            return self.model._replace(variables=variables).bits(images, h=h)
        return nll(self.model, variables, images, h=h)

    def labels_of(self, label: str | None, images: Sequence[str]) -> list[int]:
        """Finds the class index of each image.

        Args:
          label: The name or index of the class of all images, or "folder" if the one folder in the name of each image
            that is called like a class is its class.
          images: The name of each image.

        Returns:
          An index per image, 0 for p(x).

        Raises:
          InputError: If the label is missing, unknown or unexpected, or the model has another kind of condition.
        """
        if self.part not in (None, "label"):
            density = self.card["density"]
            raise InputError(f"{self.name} is a model of {density}: only `sample` and `evaluate` support it.")
        if not self.classes:
            if label is not None:
                raise InputError(f"Omit --label: {self.name} is not class-conditional.")
            return [0] * len(images)
        names = (self.spec.class_names or ())[: self.classes]
        numbers = names if names and all(map(str.isdecimal, names)) else tuple(map(str, range(self.classes)))
        choices = ", ".join(names) or f"0 to {self.classes - 1}"
        if label == "folder" and label not in names:
            found = {image: {*image.split("/")[:-1]} & {*(names or numbers)} for image in images}
            if odd := [image for image, folders in found.items() if len(folders) != 1]:
                raise InputError(f"--label=folder needs one folder named {choices} above each file, unlike {odd[0]}.")
            return [(names or numbers).index(min(folders)) for folders in found.values()]
        if label not in (*names, *numbers):
            problem = "is required" if label is None else f"{label} is unknown"
            raise InputError(f"--label {problem}: {self.name} has the classes {choices}.")
        return [(names if label in names else numbers).index(label)] * len(images)


def load_density(name: str, *, codes: bool = False) -> Density:
    """Loads a model of one of ``model_card.CONDITION_KEYS``, and checks shapes against its card.

    Args:
      name: as the user gave it.
      codes: allow a prior of codes with its tokenizer, whose model is a ``CodeModel``.

    Raises:
      InputError: for a missing model, a mismatch, or another kind of experiment.
    """
    density = Density(name, *load_pretrained(name))
    model, card, spec = density.model, density.card, density.spec
    if isinstance(model, Mapping) and {"prior", "tokenizer"} <= model.keys():
        if not codes:
            raise InputError(
                f"{name} is a prior of codes: its bits of codes are not a likelihood of pixels, so only `sample`, and "
                "`evaluate` without --mean-over, support it."
            )
        density, model = density._replace(model=CodeModel(model, density.variables)), model["tokenizer"]
    if not (hasattr(model, "levels") and hasattr(model, "channels")) or card["density"] not in CONDITION_KEYS:
        raise InputError(
            f"{name} must be a model of {' or '.join(CONDITION_KEYS)}, not of experiment {card['experiment']!r}: "
            "load it in Python with load_pretrained."
        )
    image = jax.ShapeDtypeStruct((1, *spec.shape), jnp.int32)
    condition = {
        "label": jax.ShapeDtypeStruct((1, density.classes), jnp.float32),
        "examples": jax.ShapeDtypeStruct((1, 1, *spec.shape), jnp.int32),
        "caption": jax.ShapeDtypeStruct((1, 1), jnp.int32),
    }.get(density.part or "")
    try:
        if (model.channels, model.levels) != (spec.channels, spec.levels):
            raise ValueError(f"it has {model.channels} channels of {model.levels} levels.")
        jax.eval_shape(lambda x, h: _check_density(density, x, h), image, condition)
    except Exception as error:  # JAX, Flax and a module of one's own raise many kinds of errors
        what = f"model of {card['density']} for images of {spec}"
        raise InputError(f"{name} is not a {what}: {first_line(error):.200}") from None
    return density


def _check_density(density: Density, image: Array, h: Array | None) -> Any:
    network = density.model.network if isinstance(density.model, ConditionalModel) else density.model
    if isinstance(network, Network):  # its layers are as it declares them
        return apply_conditioner(density.model, density.variables, h, None, shape=image.shape)[-1]
    return density.loss(density.variables, image, h)


def check_output(output: Path, *, suffix: str = "", folder: bool = False, name: str = "--output") -> None:
    """Checks that an output can be written, and makes its parent folder.

    Args:
      suffix: required ending.
      folder: allow an empty folder.
      name: option in errors.

    Raises:
      InputError: if it exists or has a different ending.
      OSError: if it cannot be written.
    """
    if not output.name.lower().endswith(suffix):
        raise InputError(f"{name} must end in {suffix}, got {output.name}.")
    if os.path.lexists(output) and not (folder and output.is_dir() and not any(output.iterdir())):
        raise InputError(f"{output} already exists: choose a new path for {name}.")
    output.parent.mkdir(parents=True, exist_ok=True)
    output = output.resolve()
    part = output / ".part" if output.is_dir() else output.with_name(output.name + ".part")  # of atomic_write
    part.touch(exist_ok=False)  # a user may have a file of that name
    part.unlink()


def at_most(count: int, spec: ImageSpec) -> int:
    """Limits an image count to what fits into memory, with a one-hot h, at least one."""
    return min(count, max(1, MAX_BATCH_SUBPIXELS // max(math.prod(spec.shape), spec.classes or 0)))


@contextmanager
def progress(label: str, rows: int) -> Iterator[Callable[[int], Any]]:
    """Shows a progress bar, where piped every ten seconds; yields a callback per row."""
    piped: dict[str, Any] = {} if sys.stderr.isatty() else {"disable": False, "delay": SECONDS, "mininterval": SECONDS}
    with progress_bar(None, label, total=rows, **piped) as bar:
        yield lambda _: bar.update()


def report(summary: dict[str, Any], sentence: str, *, as_json: bool) -> None:
    """Prints a sentence or a line of JSON."""
    click.echo(json.dumps(summary) if as_json else sentence)
