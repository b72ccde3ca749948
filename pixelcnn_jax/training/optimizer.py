"""AdamW or Muon, gradient clipping, learning-rate schedule and EMA."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int
from optax.contrib import MuonDimensionNumbers, muon

from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.foundation.fields import field
from pixelcnn_jax.models.declarations import declared_variables
from pixelcnn_jax.models.parameters import Kernel, Params

ADAM_B2 = 0.99
MAX_GRAD_NORM = 1.0  # global norm for clipping


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Optimizer and learning-rate schedule."""

    name: str = field("adamw", "adamw, or muon with Adam for biases", choices=("adamw", "muon"))
    learning_rate: float = field(1e-3, "peak of the learning-rate schedule", above=0)
    warmup_steps: int = field(100, "steps of linear warm-up; only later steps decay", min=0)
    schedule: str = field("cosine", "cosine (to zero at the last step) or constant", choices=("cosine", "constant"))
    decay: float = field(0.0, "fraction of steps after warm-up that decay linearly (constant schedule)", min=0, max=1)
    weight_decay: float = field(0.0, "weight decay of kernels", min=0)

    def __post_init__(self) -> None:
        if self.decay and self.schedule != "constant":
            raise InputError("decay needs schedule=constant: a cosine falls to zero by itself.")


def make_optimizer(config: OptimizerConfig, networks: Any, *, steps: int) -> optax.GradientTransformation:
    """Builds the optimizer of a run for the variables of ``networks``, a model or a dict of models."""
    declared = declared_variables(networks)
    decays = partial(jax.tree_util.tree_map_with_path, partial(_is_kernel, declared))
    schedule = make_schedule(config, steps=steps)
    if config.name == "muon":
        update = muon(
            schedule,
            weight_decay=config.weight_decay,
            weight_decay_mask=decays,
            adam_b2=ADAM_B2,
            consistent_rms=0.2,  # RMS of Adam's updates: one learning rate for both
            muon_weight_dimension_numbers=muon_axes(declared),
        )
    else:
        update = optax.adamw(schedule, b2=ADAM_B2, weight_decay=config.weight_decay, mask=decays)
    return optax.chain(optax.clip_by_global_norm(MAX_GRAD_NORM), update)


def make_schedule(config: OptimizerConfig, *, steps: int) -> optax.Schedule:
    """Builds the schedule: warm-up, then cosine to zero or constant with final decay."""
    peak, warmup = config.learning_rate, config.warmup_steps
    first = peak / (warmup + 1)
    if config.schedule == "cosine":
        return optax.warmup_cosine_decay_schedule(first, peak, warmup, max(steps, warmup + 1))
    last = round(config.decay * max(0, steps - warmup))
    parts = [optax.linear_schedule(first, peak, warmup), optax.linear_schedule(peak, 0.0, last)]
    return optax.join_schedules(parts, [steps - last])


def muon_axes(declared: Mapping[tuple[str, ...], Kernel]) -> Callable[[Params], Any]:
    """Builds the function that assigns Muon's input and output axes to each kernel; None is left to Adam.

    Stacked layers are separate matrices. Of a parameter that nobody declares, the last axis is the output.
    """

    def axes(path: tuple[Any, ...], x: Any) -> MuonDimensionNumbers | None:
        if not _is_kernel(declared, path, x):
            return None
        kernel = declared.get(_names(path))
        first = int(kernel is not None and kernel.layers is not None)
        outputs = x.ndim - (1 if kernel is None else len(kernel.outputs))
        return MuonDimensionNumbers(tuple(range(first, outputs)), tuple(range(outputs, x.ndim)))

    return partial(jax.tree_util.tree_map_with_path, axes)


def update_ema(average: Any, params: Any, step: Int[Array, ""], *, decay: float) -> Any:
    """Updates the exponential moving average, which is shorter early on."""
    kept = jnp.minimum(decay, (1 + step) / (10 + step))
    # In this form a constant parameter keeps its average to the bit, even if it is infinite.
    return jax.tree.map(lambda old, new: jnp.where(new == old, old, old + (1 - kept) * (new - old)), average, params)


def at_step(state: Any, step: Int[Array, ""]) -> Any:
    """Sets the schedule counts of an optimizer state, as skipped steps count too."""

    def counts(x: Any) -> bool:
        return isinstance(x, optax.ScaleByScheduleState)

    return jax.tree.map(lambda x: x._replace(count=step) if counts(x) else x, state, is_leaf=counts)


def _names(path: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(jax.tree_util.keystr((entry,), simple=True) for entry in path)


def _is_kernel(declared: Mapping[tuple[str, ...], Kernel], path: tuple[Any, ...], x: Any) -> bool:
    """Whether a parameter is multiplied; of those that nobody declares, by its axes and Flax's names of leaves."""
    names = _names(path)
    if names in declared:
        return bool(declared[names].inputs)
    return x.ndim >= 2 and names[-1] not in ("bias", "scale", "embedding")


def is_trained(networks: Any, variables: Any, path: tuple[Any, ...], _: Any) -> bool:
    """Whether a variable is trained: not if it is in a collection of a Linen module beside "params", such as a mask."""
    names = _names(path)
    if isinstance(networks, Mapping):
        networks, variables, names = networks.get(names[0]), variables[names[0]], names[1:]
    has_collections = isinstance(networks, nn.Module) and len(names) > 1 and "params" in variables
    return not has_collections or names[0] == "params"
