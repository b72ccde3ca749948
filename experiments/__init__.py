"""The experiments, one module each: ``Config``, ``make_experiment`` and, where data is needed, functions of splits."""

import difflib
import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

from ml_collections import ConfigDict

from pixelcnn_jax.errors import InputError
from pixelcnn_jax.training.config import compose


def experiment_module(name: str) -> ModuleType:
    """Returns the module ``experiments.NAME``.

    Raises:
      InputError: if there is no such experiment, naming the nearest one.
    """
    files = (Path(__path__[0], f"{module.name}.py") for module in pkgutil.iter_modules(__path__))
    names = [file.stem for file in files if "\ndef make_experiment(" in file.read_text()]
    if name not in names:
        near = "".join(f"; did you mean {one}?" for one in difflib.get_close_matches(name, names, n=1))
        raise InputError(f"experiment must be a module of experiments/, got {name}{near}")
    return importlib.import_module(f"{__name__}.{name}")


def default_config(name: str) -> ConfigDict:
    """Returns the config of an experiment with the default of every field, for a file of ``configs/`` to change."""
    return compose(name, experiment_module(name).Config)
