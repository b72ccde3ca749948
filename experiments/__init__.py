"""The experiments: modules with ``Config`` and the functions of ``Recipe``."""

import difflib
import importlib
from types import ModuleType

from ml_collections import ConfigDict

from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.training.config import compose

# Modules by name of the experiment; a config file may add its own.
EXPERIMENTS = {
    "unconditional": "experiments.paper.unconditional",
    "class_conditional": "experiments.paper.class_conditional",
    "embedding": "experiments.paper.embedding",
    "embedding_conditional": "experiments.paper.embedding_conditional",
    "autoencoder": "experiments.paper.autoencoder",
    "multiscale": "experiments.paper.multiscale",
    "vae": "experiments.beyond.vae",
    "codes": "experiments.beyond.codes",
    "colourise": "experiments.beyond.colourise",
    "few_shot": "experiments.beyond.few_shot",
    "captions": "experiments.beyond.captions",
    "classifier": "experiments.beyond.classifier",
    "ablations": "experiments.paper.ablations",
}


def experiment_module(name: str) -> ModuleType:
    """Imports an experiment; raises InputError for an unknown name."""
    if name not in EXPERIMENTS:
        near = "".join(f"; did you mean {one}?" for one in difflib.get_close_matches(name, EXPERIMENTS, n=1))
        raise InputError(f"experiment must be one of experiments.EXPERIMENTS, got {name}{near}")
    return importlib.import_module(EXPERIMENTS[name])


def default_config(name: str) -> ConfigDict:
    """Builds the default config of an experiment."""
    return compose(name, experiment_module(name).Config)
