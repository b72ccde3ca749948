"""Finds the declarations of a model's parameters, whatever its modules and parameters are called."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import numpy as np
from flax.traverse_util import flatten_dict

from pixelcnn_jax.models.inputs import Condition
from pixelcnn_jax.models.parameters import Kernel

Path = tuple[str, ...]
BOTH = Condition(np.zeros((1, 1)), np.zeros((1, 1, 1, 1)))  # so that the kernels of h and s are declared too


def declarations(model: Any) -> dict[Path, Kernel]:
    """Collects the declared parameters of a module, by path.

    A module declares its parameters by a method ``parameter_shapes(condition)``, which returns a tree of ``Kernel``, as
    that of ``Network`` does. A module without the method is searched for such modules in its fields. Parameters that no
    module declares are missing.
    """
    if hasattr(model, "parameter_shapes"):
        return flatten_dict(model.parameter_shapes(BOTH))
    fields = dataclasses.fields(model) if isinstance(model, nn.Module) else ()
    parts = {field.name: getattr(model, field.name) for field in fields if field.name != "parent"}
    return {(name, *path): x for name, part in parts.items() for path, x in declarations(part).items()}


def declared_variables(networks: Any) -> dict[Path, Kernel]:
    """Collects the declared parameters of a model, or a dict of models, by path in its variables."""
    if isinstance(networks, Mapping):
        return {(name, *path): x for name, part in networks.items() for path, x in declared_variables(part).items()}
    return {("params", *path): x for path, x in declarations(networks).items()}


def condition_sizes(model: Any, params: Mapping[str, Any]) -> dict[str, int]:
    """Reads the sizes of h and s from the parameters of a network; what it was not initialised with is missing."""
    given = flatten_dict(params)
    sizes = {}
    for path, kernel in declarations(model).items():
        shape = np.shape(given.get(path, 0))
        if kernel.reads and len(shape) == len(kernel.shape):
            sizes[kernel.reads] = shape[-len(kernel.outputs) - 1]
    return sizes
