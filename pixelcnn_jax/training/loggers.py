"""Loggers of a user's own, such as Weights & Biases: functions that a config names and that receive every record."""

import importlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from pixelcnn_jax.errors import InputError

Log = Callable[[int, Mapping[str, float], Mapping[str, Path]], None]


def make_loggers(names: Iterable[str], workdir: Path, config: Mapping[str, Any]) -> list[Log]:
    """Returns the loggers of a run.

    Args:
      names: functions, as "module:function". Each is called once with the workdir and the config as nested dicts. It
        returns ``log(step, scalars, pictures)``, where pictures are PNG files by name.
      workdir, config: what the functions are called with.

    Raises:
      InputError: if there is no such function.
    """
    return [_function(name)(workdir, config) for name in names]


def _function(name: str) -> Callable[[Path, Mapping[str, Any]], Log]:
    module, _, function = name.partition(":")
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f'config.train.loggers must name functions as "module:function", got "{name}": {error}.'
        ) from error
