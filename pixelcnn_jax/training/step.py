"""The training step as a pure function."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Int, Key

from pixelcnn_jax.foundation.devices import AXIS, data_mesh
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.training.experiment import Batch, Experiment, Params
from pixelcnn_jax.training.optimizer import at_step, is_trained, update_ema
from pixelcnn_jax.training.warm_start import initial_params, warm_started


class TrainState(NamedTuple):
    """Training state; ``skipped`` counts consecutive non-finite steps."""

    step: Int[Array, ""]
    params: Params
    ema: Params
    optimizer: Any
    skipped: Int[Array, ""]


class Measured(NamedTuple):
    """Loss and gradient norm before clipping, NaN if not finite; and ``skipped``."""

    loss: Float[Array, ""]
    gradient_norm: Float[Array, ""]
    skipped: Int[Array, ""]


def init_state(
    experiment: Experiment, optimizer: optax.GradientTransformation, key: Key[Array, ""], trained: Params | None = None
) -> TrainState:
    """Builds the initial state, with a warm start from ``trained``."""
    params = initial_params(experiment, key)
    if trained is not None:
        params = warm_started(params, trained, experiment.networks)
    zero = jnp.zeros((), jnp.int32)
    # Copies: a buffer that occurs twice cannot be donated.
    return TrainState(zero, params, jax.tree.map(jnp.copy, params), optimizer.init(params), jnp.copy(zero))


def accumulated(function: Callable[..., Any], batch: Batch, *whole: Any, size: int, mesh: Mesh) -> Any:
    """Averages ``function`` of microbatch number, its rows and ``whole``: a loop on each device, then one sum."""

    def on_device(rows: Batch, *whole: Any) -> Any:
        parts = jax.tree.map(lambda x: x.reshape(-1, size, *x.shape[1:]), rows)
        count = len(jax.tree.leaves(parts)[0])
        numbers = jax.lax.axis_index(AXIS) * count + jnp.arange(count)
        shapes = jax.eval_shape(function, numbers[0], jax.tree.map(lambda x: x[0], parts), *whole)
        total, _ = jax.lax.scan(
            lambda total, numbered: (jax.tree.map(jnp.add, total, function(*numbered, *whole)), None),
            jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes),
            (numbers, parts),
        )
        return jax.lax.pmean(jax.tree.map(lambda x: x / count, total), AXIS)

    specs = PartitionSpec(AXIS), *(PartitionSpec() for _ in whole)
    # The check would have gradients summed where a parameter is read: inside the loop.
    shared = jax.shard_map(on_device, mesh=mesh, in_specs=specs, out_specs=PartitionSpec(), check_vma=False)
    return shared(batch, *whole)


def train_step(
    state: TrainState,
    batch: Batch,
    key: Key[Array, ""],
    *,
    experiment: Experiment,
    optimizer: optax.GradientTransformation,
    ema_decay: float,
    microbatch_size: int | None = None,
    mesh: Mesh | None = None,
) -> tuple[TrainState, Measured]:
    """Takes one step; a non-finite gradient only advances the counters.

    Args:
      state: donated.
      key: the run's, folded with the step.
      microbatch_size: images per gradient on each device; None computes one gradient of the whole batch.
      mesh: devices of the microbatches; None for one.
    """
    step_key = jax.random.fold_in(key, state.step)

    def loss_and_gradient(
        number: Int[Array, ""] | int, part: Batch, params: Params, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], Params]:
        part_key = jax.random.fold_in(key, number)
        shapes = {jax.eval_shape(experiment.loss, params, part, k).shape for k in (part_key, None)}  # None: validation
        if shapes != {jax.tree.leaves(part)[0].shape[:1]}:
            raise InputError(f"loss must return a value for each image of a batch, got shapes {shapes}.")
        return jax.value_and_grad(lambda params: jnp.mean(experiment.loss(params, part, part_key)))(params)

    if microbatch_size is None:
        loss, gradient = loss_and_gradient(0, batch, state.params, step_key)
    else:
        mesh = mesh or data_mesh(jax.devices()[:1])
        whole = state.params, step_key
        loss, gradient = accumulated(loss_and_gradient, batch, *whole, size=microbatch_size, mesh=mesh)
    trained = jax.tree_util.tree_map_with_path(partial(is_trained, experiment.networks, state.params), state.params)
    gradient = jax.tree.map(lambda wanted, x: x if wanted else jnp.zeros_like(x), trained, gradient)
    norm = optax.tree.norm(gradient)
    is_finite = jnp.isfinite(norm)
    updates, optimizer_state = optimizer.update(gradient, at_step(state.optimizer, state.step), state.params)
    updated = optax.apply_updates(state.params, updates)
    params = jax.tree.map(lambda wanted, new, old: new if wanted else old, trained, updated, state.params)
    ema = update_ema(state.ema, params, state.step, decay=ema_decay)
    # Selected, not branched: a branch compiles separately and rounds differently.
    new, old = (params, ema, optimizer_state), (state.params, state.ema, state.optimizer)
    params, ema, optimizer_state = jax.tree.map(partial(jnp.where, is_finite), new, old)
    skipped = jnp.where(is_finite, 0, state.skipped + 1)
    measured = Measured(jnp.where(is_finite, loss, jnp.nan), jnp.where(is_finite, norm, jnp.nan), skipped)
    return TrainState(state.step + 1, params, ema, optimizer_state, skipped), measured
