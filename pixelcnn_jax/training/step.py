"""The training step as a pure function, and the keys of a run."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from pixelcnn_jax.training.config import RunConfig
from pixelcnn_jax.training.experiment import Batch, Experiment, Params
from pixelcnn_jax.training.optimizer import at_step
from pixelcnn_jax.training.start import replaced


class Keys(NamedTuple):
    """PRNG keys of a run."""

    init: Key[Array, ""]
    step: Key[Array, ""]
    sample: Key[Array, ""]
    score: Key[Array, ""]
    report: Key[Array, ""]


def keys(config: RunConfig) -> Keys:
    """Derives the keys from the seed."""
    return Keys(*jax.random.split(jax.random.key(config.seed), len(Keys._fields)))


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
    experiment: Experiment,
    optimizer: optax.GradientTransformation,
    key: Key[Array, ""],
    trained: Params | None = None,
) -> TrainState:
    """Builds the initial state, with a warm start from ``trained``."""
    params = experiment.init(key)
    if trained is not None:
        params = replaced(params, trained)
    zero = jnp.zeros((), jnp.int32)
    # Copies: a buffer that occurs twice cannot be donated.
    return TrainState(zero, params, jax.tree.map(jnp.copy, params), optimizer.init(params), jnp.copy(zero))


def microbatches(batch: Batch, size: int | None) -> dict[str, Array]:
    """Splits a batch into interleaved microbatches, which keep its sharding."""
    return {name: jnp.moveaxis(x.reshape(size or len(x), -1, *x.shape[1:]), 1, 0) for name, x in batch.items()}


def averaged(average: Params, params: Params, step: Int[Array, ""], *, decay: float) -> Params:
    """Updates the exponential moving average, which is shorter early on."""
    kept = jnp.minimum(decay, (1 + step) / (10 + step))
    # In this form a constant parameter keeps its average to the bit.
    return jax.tree.map(lambda old, new: old + (1 - kept) * (new - old), average, params)


def train_step(
    state: TrainState,
    batch: Batch,
    key: Key[Array, ""],
    *,
    experiment: Experiment,
    optimizer: optax.GradientTransformation,
    ema_decay: float,
    microbatch_size: int | None = None,
) -> tuple[TrainState, Measured]:
    """Takes one step; a non-finite gradient only advances the counters.

    Microbatch gradients are accumulated; ``state`` is donated; ``key`` is the run's, folded with the step.
    """

    def mean_loss(params: Params, part: Batch, key: Key[Array, ""]) -> Float[Array, ""]:
        return jnp.mean(experiment.loss(params, part, key))

    step_key = jax.random.fold_in(key, state.step)
    parts = microbatches(batch, microbatch_size)
    count = len(next(iter(parts.values())))

    def loss_and_gradient(number: Int[Array, ""] | int, part: Batch) -> tuple[Float[Array, ""], Params]:
        result = jax.value_and_grad(mean_loss)(state.params, part, jax.random.fold_in(step_key, number))
        return jax.tree.map(lambda x: x / count, result)

    if count == 1:  # XLA on CPU is slower in a loop
        loss, gradient = loss_and_gradient(0, batch)
    else:
        zero = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, state.params))
        (loss, gradient), _ = jax.lax.scan(
            lambda total, numbered: (jax.tree.map(jnp.add, total, loss_and_gradient(*numbered)), None),
            zero,
            (jnp.arange(count), parts),
        )
    norm = optax.tree.norm(gradient)
    is_finite = jnp.isfinite(norm)
    updates, optimizer_state = optimizer.update(gradient, at_step(state.optimizer, state.step), state.params)
    params = optax.apply_updates(state.params, updates)
    ema = averaged(state.ema, params, state.step, decay=ema_decay)
    # Selected, not branched: a branch compiles separately and rounds differently.
    new, old = (params, ema, optimizer_state), (state.params, state.ema, state.optimizer)
    params, ema, optimizer_state = jax.tree.map(partial(jnp.where, is_finite), new, old)
    skipped = jnp.where(is_finite, 0, state.skipped + 1)
    measured = Measured(jnp.where(is_finite, loss, jnp.nan), jnp.where(is_finite, norm, jnp.nan), skipped)
    return TrainState(state.step + 1, params, ema, optimizer_state, skipped), measured
