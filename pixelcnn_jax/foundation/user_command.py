"""Commands whose users read sentences instead of tracebacks."""

import os
from pathlib import Path
from typing import Any

import click
import jax

from pixelcnn_jax.foundation.errors import InputError, user_message


def path(value: str) -> Path:
    """Converts an argument to a path with ``~`` expanded; raises an error for devices and pipes."""
    expanded = Path(os.path.expanduser(value))
    if os.path.exists(expanded) and not (expanded.is_file() or expanded.is_dir()):
        raise click.ClickException(f"{value} is neither a file nor a folder.")
    return expanded


class UserCommand(click.Command):
    """A command that prints user errors as one sentence, with exit status 1."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except (InputError, OSError, MemoryError, jax.errors.JaxRuntimeError) as error:
            if (message := user_message(error)) is None:
                raise
            raise click.ClickException(message) from error


class UserGroup(UserCommand, click.Group):
    """A group of ``UserCommand``."""
