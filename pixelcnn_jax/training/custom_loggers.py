"""Custom loggers, e.g. Weights & Biases."""

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pixelcnn_jax.foundation.errors import InputError

Log = Callable[[int, Mapping[str, float], Mapping[str, Path]], None]


def make_loggers(names: Iterable[str], workdir: Path, config: Mapping[str, Any]) -> list[Log]:
    """Builds the loggers of a run. A logger that raises is dropped with a warning.

    Args:
      names: functions "module:function" of workdir and config (nested dicts) that return
        ``log(step, scalars, pictures)``; pictures are paths of PNG files by name.
      workdir: run directory.
      config: config of the run.

    Raises:
      InputError: for a function that cannot be imported.
    """
    attempts = [(unless_failed(name), imported_function(name, "config.train.loggers")) for name in names]
    return [partial(attempt, attempt(make, workdir, config)) for attempt, make in attempts]


def unless_failed(name: str) -> Callable[..., Any]:
    """Returns ``attempt(work, *inputs)``, which warns of the first error of a logger, then does nothing."""
    failed = False

    def attempt(work: Any, *inputs: Any) -> Any:
        nonlocal failed
        try:
            return None if failed else work(*inputs)
        except Exception as error:  # whatever its library raises
            failed = True
            print(f"Logger {name} failed and is now disabled: {error!r:.300}", file=sys.stderr)

    return attempt


def imported_function(name: str, field: str) -> Callable[..., Any]:
    """Imports the function "module:function" that a field of the config names; raises InputError if it cannot."""
    module, _, function = name.partition(":")
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise InputError(f'{field} must be "module:function", got "{name}": {error}.') from error
