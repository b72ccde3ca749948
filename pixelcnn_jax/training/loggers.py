"""Loggers of a user's own, such as Weights & Biases: functions that a config names and that receive every record."""

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pixelcnn_jax.foundation.errors import InputError

Log = Callable[[int, Mapping[str, float], Mapping[str, Path]], None]


def make_loggers(names: Iterable[str], workdir: Path, config: Mapping[str, Any]) -> list[Log]:
    """Returns the loggers of a run.

    Args:
      names: functions, as "module:function". Each is called once with the workdir and the config as nested dicts. It
        returns ``log(step, scalars, pictures)``, where pictures are PNG files by name.
      workdir, config: what the functions are called with.

    A logger that fails is named in a warning and dropped: it must not end the run that it watches.

    Raises:
      InputError: if there is no such function.
    """
    return [_unless_failed(name, _function(name), workdir, config) for name in names]


def _unless_failed(name: str, make: Callable[..., Log], workdir: Path, config: Mapping[str, Any]) -> Log:
    """Returns a logger that does nothing once it has failed."""
    failed = False

    def attempt(work: Any, *inputs: Any) -> Any:
        nonlocal failed
        try:
            return None if failed else work(*inputs)
        except Exception as error:  # whatever its library raises
            failed = True
            print(f"The logger {name} failed and is dropped: {error!r:.300}", file=sys.stderr)

    log = attempt(make, workdir, config)
    return lambda step, scalars, pictures: attempt(log, step, scalars, pictures)


def _function(name: str) -> Callable[[Path, Mapping[str, Any]], Log]:
    module, _, function = name.partition(":")
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f'config.train.loggers must name functions as "module:function", got "{name}": {error}.'
        ) from error
