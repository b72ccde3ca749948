"""The experiments, by name: modules that define the functions of ``Recipe``, and the command that trains them.

``paper`` has the experiments of the paper, ``extensions`` has others (``ising`` is a command of its own), and
``shared`` has code that several of them use. This package imports the library, and the library imports nothing of it.
Read ``train.py`` first, the command.
"""

import importlib
from typing import TYPE_CHECKING

from pixelcnn_jax.foundation.errors import InputError

if TYPE_CHECKING:  # a command handles signals before JAX is imported
    from ml_collections import ConfigDict

    from pixelcnn_jax.training.experiment import Recipe

PAPER = ("unconditional", "class_conditional", "embedding", "embedding_conditional", "autoencoder", "multiscale")
EXTENSIONS = ("vae", "tokenizer", "codes", "colourise", "few_shot", "captions", "classifier")

# Modules by name of the experiment; a config file may add its own.
EXPERIMENTS = {name: f"experiments.paper.{name}" for name in (*PAPER, "ablations")}
EXPERIMENTS |= {name: f"experiments.extensions.{name}" for name in EXTENSIONS}


def recipe_of(name: str) -> "Recipe":
    """Imports an experiment; raises InputError for an unknown name."""
    from pixelcnn_jax.training.experiment import Recipe

    if name not in EXPERIMENTS:
        raise InputError(f'There is no experiment "{name}": choose one of {", ".join(EXPERIMENTS)}.')
    return Recipe.of(importlib.import_module(EXPERIMENTS[name]))


def default_config(name: str) -> "ConfigDict":
    """Builds the default config of an experiment."""
    from pixelcnn_jax.training.config import compose

    return compose(name, recipe_of(name).Config)


def step_number(step: str, steps: int) -> int:
    """Reads the step of a chain of trainings; raises InputError unless it is one of 1 to ``steps``."""
    if step not in map(str, range(1, steps + 1)):
        raise InputError(f'After the colon, this config takes a step from 1 to {steps}, got "{step}".')
    return int(step)
