"""Shared parts of the verbs: their common options, the model they name, progress bars, checks of outputs."""

import json
import math
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import click
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pixelcnn_jax.foundation.errors import InputError, first_line, user_message
from pixelcnn_jax.foundation.fields import read_group
from pixelcnn_jax.foundation.progress import progress_bar
from pixelcnn_jax.likelihood import nats
from pixelcnn_jax.models.cards import DENSITIES, drawn_by_class
from pixelcnn_jax.models.inputs import ImageSpec
from pixelcnn_jax.pretrained import load_pretrained


class PathType(click.ParamType):
    """A path, in which ``~`` is expanded even where a shell leaves it: ``--output=~/grid.png``."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> Path:
        """Returns the path."""
        try:
            path = Path(value).expanduser()
            special = path.exists() and not (path.is_file() or path.is_dir())
        except (OSError, RuntimeError, ValueError) as error:  # a name too long, no home of a user, a null byte
            reason = getattr(error, "strerror", None) or error
            raise click.ClickException(f"{value!r:.100} cannot be a path: {reason}.") from error
        if special:
            raise click.ClickException(f"{value} is neither a file nor a folder.")
        return path


class UserCommand(click.Command):
    """A command that prints a user's mistake as one sentence, with exit status 1."""

    def invoke(self, context: click.Context) -> Any:
        """Runs the command."""
        try:
            return super().invoke(context)
        except (InputError, OSError, MemoryError, jax.errors.JaxRuntimeError) as error:
            if (message := user_message(error)) is None:
                raise
            raise click.ClickException(message) from error


class UserGroup(UserCommand, click.Group):
    """A group of commands, listed in the order of their definition, with errors as in ``UserCommand``."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Returns the names of the commands."""
        return list(self.commands)


# What the conditioner must have to read them from a command line: the most examples, a sentence as tokens.
CONDITIONERS = {"examples": "max_examples", "caption": "tokens"}
PATH = PathType()
MOST_SUBPIXELS = 2**22  # of all images that are computed at a time
SECONDS = 10  # between two lines of progress
model_argument = click.argument("name", metavar="MODEL")
label_option = click.option("--label", help="Name or number of a class, from 0, for a class-conditional model.")
seed_option = click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Seed of the random numbers."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


def output_option(help: str) -> Callable[[Any], Any]:
    """Returns the option of an output, which must be new."""
    return click.option("-o", "--output", type=PATH, required=True, help=f"{help}; nothing is overwritten.")


class Density(NamedTuple):
    """A trained model of p(x), of p(x | y) for class labels y, or of one of the other ``DENSITIES``.

    Attributes:
      name: what the user called it.
      model, variables, card: as ``load_pretrained`` returns them.
      classes: number of class labels; 0 for a model that takes none.
    """

    name: str
    model: Any  # of one's own too: a module with levels and channels
    variables: dict[str, Any]
    card: dict[str, Any]
    classes: int

    @property
    def spec(self) -> ImageSpec:
        """The images that the model was trained on."""
        return self.card["image_spec"]

    @property
    def conditioner(self) -> Any:
        """The module that turns what is given into the network's condition; None for a network alone."""
        return getattr(self.model, "conditioner", None)

    @property
    def density(self) -> str:
        """The density that the model is of."""
        return str(self.card["density"])

    @property
    def part(self) -> str | None:
        """The part of a batch that holds what the density is given; None for a model of p(x)."""
        return DENSITIES[self.density]

    def check(self) -> None:
        """Raises InputError unless the model takes the images and the condition that its card names.

        Everything is computed for shapes alone, so that a card which lies about them costs no memory.
        """
        part, image = self.part, jax.ShapeDtypeStruct((1, *self.spec.shape), jnp.int32)
        try:
            if (self.model.channels, self.model.levels) != (self.spec.channels, self.spec.levels):
                raise InputError(f"it has {self.model.channels} channels of {self.model.levels} levels.")
            if part in CONDITIONERS:
                getattr(self.conditioner, CONDITIONERS[part])
            given = {
                "label": jax.ShapeDtypeStruct((1, self.classes), jnp.float32),
                "examples": jax.ShapeDtypeStruct((1, 1, *self.spec.shape), jnp.int32),
                "caption": jax.ShapeDtypeStruct((1, 1), jnp.int32),
            }
            jax.eval_shape(lambda image, h: nats(self.model, self.variables, image, h=h), image, given.get(str(part)))
        except Exception as error:  # JAX, Flax and a module of one's own raise many kinds of errors
            raise InputError(
                f"{self.name} is no model of {self.density} for images of {self.spec}: {first_line(error):.200}"
            ) from None

    def settings(self, group: str, kind: type) -> dict[str, Any]:
        """Returns a group of the config that the model was trained with; empty for a model without a config.

        Raises:
          InputError: if the card does not hold the fields of the group's class.
        """
        given = self.card["config"].get(group)
        return asdict(read_group(kind, given, name=f"config.{group} of {self.name}")) if given else {}

    def h(self, labels: Any) -> Float[Array, "batch classes"] | None:
        """Returns the one-hot condition of a batch of labels; None for a model of p(x)."""
        return jax.nn.one_hot(jnp.asarray(labels), self.classes) if self.classes else None

    def h_in(self, batch: Mapping[str, Any]) -> Any:
        """Returns the condition that a batch carries, as h; None for a model of p(x)."""
        return self.h(batch[self.part]) if self.part == "label" else batch[self.part] if self.part else None

    def h_of(self, label: str | None, count: int) -> Float[Array, "batch classes"] | None:
        """Returns the condition of images that share the label given by the user.

        Raises:
          InputError: if the label is missing or no class, or given to a model of p(x), or the model needs other than
            labels.
        """
        if not drawn_by_class(self.card):
            raise InputError(f"{self.name} is a model of {self.density}: of the verbs, sample and evaluate take it.")
        if not self.classes:
            if label is not None:
                raise InputError(f"--label must be left out: {self.name} is not class-conditional.")
            return None
        names, numbers = (self.spec.class_names or ())[: self.classes], [*map(str, range(self.classes))]
        if label not in (*names, *numbers):
            given = "is needed" if label is None else f"is {label}"
            known = ", ".join(names) or f"0 to {self.classes - 1}"
            raise InputError(f"--label {given}: {self.name} has the classes {known}.")
        return self.h([(names if label in names else numbers).index(label)] * count)


def load_density(name: str) -> Density:
    """Loads a model that gives the likelihood of an image, alone or given something that a user can name.

    Raises:
      InputError: for a model that is not there, and for one of an experiment with other conditions or several networks.
    """
    model, variables, card = load_pretrained(name)
    if not (hasattr(model, "levels") and hasattr(model, "channels")) or card["density"] not in DENSITIES:
        raise InputError(
            f"{name} must be a model of {' or '.join(DENSITIES)}, got experiment {card['experiment']!r}: training "
            "drew its pictures into its workdir, and load_pretrained loads it in Python."
        )
    classes = (DENSITIES[card["density"]] == "label" and card["image_spec"].classes) or 0
    density = Density(name, model, variables, card, classes)
    density.check()
    return density


def check_output(output: Path, *, suffix: str = "", folder: bool = False, name: str = "--output") -> None:
    """Checks before any work that an output can be written; makes the folder that it will lie in.

    Args:
      output: the path.
      suffix: the ending that its name must have.
      folder: whether an empty folder may be there already.
      name: the option that names it.

    Raises:
      InputError: if the output exists or has a different ending.
      OSError: if nothing can be written there.
    """
    if not output.name.lower().endswith(suffix):
        raise InputError(f"{name} must end in {suffix}, got {output.name}.")
    if os.path.lexists(output) and not (folder and output.is_dir() and not any(output.iterdir())):
        raise InputError(f"{name} must be new, but {output} exists.")
    output.parent.mkdir(parents=True, exist_ok=True)
    output = output.resolve()
    part = output.with_name(output.name + ".part")  # as atomic_write will call it
    part.touch(exist_ok=False)  # a user may have a file of that name
    part.unlink()


def at_most(count: int, spec: ImageSpec) -> int:
    """Returns the number of images of ``count`` whose sub-pixels fit into memory together: at least one."""
    return min(count, max(1, MOST_SUBPIXELS // math.prod(spec.shape)))


@contextmanager
def progress(label: str, rows: int) -> Iterator[Callable[[int], None]]:
    """Shows a bar on a terminal and a line every ten seconds elsewhere; yields a function to call after each row."""
    count, ended = 0, threading.Event()

    def tell() -> None:
        while not ended.wait(SECONDS):
            click.echo(f"{label}: {count} of {rows}", err=True)

    def on_row(_: int) -> None:
        nonlocal count
        count += 1
        bar.update()

    with progress_bar(None, label, total=rows) as bar:
        if bar.disable:
            threading.Thread(target=tell, daemon=True).start()
        try:
            yield on_row
        finally:
            ended.set()


def report(summary: dict[str, Any], sentence: str, *, as_json: bool) -> None:
    """Prints a result: a sentence for people, or a line of JSON."""
    click.echo(json.dumps(summary) if as_json else sentence)
