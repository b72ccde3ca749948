"""Warm starts."""

from typing import Any

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, Key

from pixelcnn_jax.distributions import accumulation_dtype
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.conditioning.conditional_model import part_of
from pixelcnn_jax.models.declarations import declared_variables
from pixelcnn_jax.training.checkpoint import shapes_of
from pixelcnn_jax.training.experiment import Experiment, Params
from pixelcnn_jax.training.optimizer import is_trained
from pixelcnn_jax.zoo.pretrained import read_weights


def initial_params(experiment: Experiment, key: Key[Array, ""]) -> Params:
    """Draws the initial variables; trained ones are float32 at least, as an EMA in half precision would not move."""
    variables = experiment.init(key)

    def in_float32(path: tuple[Any, ...], x: Any) -> Array:
        x = jnp.asarray(x)
        return x.astype(accumulation_dtype(x.dtype)) if is_trained(experiment.networks, variables, path, x) else x

    return jax.tree_util.tree_map_with_path(in_float32, variables)


def trained_params(name: str | None, experiment: Experiment, *, without: tuple[str, ...] = ()) -> Params | None:
    """Loads a trained model as initial parameters; None if no model is named.

    The model may be one of several networks, e.g. the decoder of an auto-encoder. Other networks and submodules in
    ``without`` are initialised; missing kernels of h and s start at zero.

    Raises:
      InputError: for an unknown model or submodule, or different shapes.
    """
    if name is None:
        return None
    abstract_params = jax.eval_shape(lambda: initial_params(experiment, jax.random.key(0)))
    trained, shapes = flatten_dict(read_weights(name)[0]), shapes_of(abstract_params)
    variables = unflatten_dict({path: x for path, x in trained.items() if not set(path) & set(without)})
    if not variables or not all(any(part in path for path in trained) for part in without):
        parts = ", ".join(without)
        raise InputError(f"config.train.reinitialise must name parts of {name}, and not all of them, got {parts}.")
    whole = {part: variables[part] for part in abstract_params if part in variables}
    # Either side may hold the network alone, in a ConditionalModel, or beside other networks.
    networks = [x for x in (variables, part_of(variables, "network")) if x]
    networks += [{"params": {"network": x["params"]}} for x in networks if "params" in x]
    candidates = [whole, *networks, *({part: x} for x in networks for part in abstract_params)]
    if params := next((x for x in candidates if x and shapes_of(x).items() <= shapes.items()), None):
        return params
    found = [shapes_of(x) for x in candidates]
    loaded_shapes = max(found, key=lambda x: (len(x.items() & shapes.items()), len(x)))  # the most similar
    part = min(part for part, shape in loaded_shapes.items() if shapes.get(part) != shape)
    raise InputError(
        f"config.train.start_from={name} is a different network: {part} has shape {loaded_shapes.get(part)} in it and "
        f"{shapes.get(part)} in this run."
    )


def warm_started(params: Params, trained: Params, networks: Any) -> Params:
    """Puts trained values into initial parameters; kernels of h and s that were not trained become zero."""
    declared, trained = declared_variables(networks), flatten_dict(trained)

    def begin(path: tuple[str, ...], x: Any) -> Any:
        reads_condition = path in declared and declared[path].reads
        return trained.get(path, jnp.zeros_like(x) if reads_condition else x)

    return unflatten_dict({path: begin(path, x) for path, x in flatten_dict(params, keep_empty_nodes=True).items()})
