"""One training step as a pure function of the state, a batch and a key, and the keys of a run."""

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
    """The keys of a run: of the initial parameters, of the steps' noise, of the pictures, of scores, of the report."""

    init: Key[Array, ""]
    step: Key[Array, ""]
    sample: Key[Array, ""]
    score: Key[Array, ""]
    report: Key[Array, ""]


def keys(config: RunConfig) -> Keys:
    """Returns the keys of a run, functions of its seed."""
    return Keys(*jax.random.split(jax.random.key(config.seed), len(Keys._fields)))


class TrainState(NamedTuple):
    """Everything that the next step depends on, besides the seed.

    Attributes:
      step: number of steps done.
      params: the parameters.
      ema: their exponential moving average, which is evaluated and sampled.
      optimizer: the optimizer's state.
      skipped: steps in a row, up to this one, whose gradient was not finite and was not applied.
    """

    step: Int[Array, ""]
    params: Params
    ema: Params
    optimizer: Any
    skipped: Int[Array, ""]


class Measured(NamedTuple):
    """The measurements of one step.

    Attributes:
      loss: mean loss of the batch; NaN where the gradient was not finite.
      gradient_norm: global norm of the gradient before clipping; NaN where it was not finite.
      skipped: steps in a row, up to this one, whose gradient was not finite.
    """

    loss: Float[Array, ""]
    gradient_norm: Float[Array, ""]
    skipped: Int[Array, ""]


def init_state(
    experiment: Experiment,
    optimizer: optax.GradientTransformation,
    key: Key[Array, ""],
    trained: Params | None = None,
) -> TrainState:
    """Returns the state before the first step, a pure function of the key and of trained parameters to start from."""
    params = experiment.init(key)
    if trained is not None:
        params = replaced(params, trained)
    zero = jnp.zeros((), jnp.int32)
    # The average is a copy: one buffer that stands in the state twice could not be donated to the next step.
    return TrainState(zero, params, jax.tree.map(jnp.copy, params), optimizer.init(params), jnp.copy(zero))


def microbatches(batch: Batch, size: int | None) -> dict[str, Array]:
    """Splits a batch into microbatches, interleaved so that each keeps the batch's sharding."""
    return {name: jnp.moveaxis(x.reshape(size or len(x), -1, *x.shape[1:]), 1, 0) for name, x in batch.items()}


def averaged(average: Params, params: Params, step: Int[Array, ""], *, decay: float) -> Params:
    """Returns the exponential moving average after a step. Early on it is short, so that it forgets initial values."""
    kept = jnp.minimum(decay, (1 + step) / (10 + step))
    # Written so that a parameter that does not move keeps its average to the bit.
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
    """Does one step on one batch.

    Gradients of microbatches are summed one after the other. On CPU a microbatch of 2 to 4 images stays in the cache
    and trains up to 1.8 times as fast. A step whose gradient is not finite changes nothing but the counters, and the
    learning-rate schedule counts it.

    Args:
      state: the state before the step; it is donated.
      batch: images and labels.
      key: the run's key for noise; the step's own is derived from it by the step.

    Returns:
      The next state, and what the step measured.
    """

    def mean_loss(params: Params, part: Batch, key: Key[Array, ""]) -> Float[Array, ""]:
        return jnp.mean(experiment.loss(params, part, key))

    step_key = jax.random.fold_in(key, state.step)
    parts = microbatches(batch, microbatch_size)
    count = len(next(iter(parts.values())))

    def loss_and_gradient(number: Int[Array, ""] | int, part: Batch) -> tuple[Float[Array, ""], Params]:
        result = jax.value_and_grad(mean_loss)(state.params, part, jax.random.fold_in(step_key, number))
        return jax.tree.map(lambda x: x / count, result)

    if count == 1:  # without a loop, in which XLA on CPU is slower
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
    # Chosen, not branched: a branch would be compiled on its own and round in a different way.
    new, old = (params, ema, optimizer_state), (state.params, state.ema, state.optimizer)
    params, ema, optimizer_state = jax.tree.map(partial(jnp.where, is_finite), new, old)
    skipped = jnp.where(is_finite, 0, state.skipped + 1)
    measured = Measured(jnp.where(is_finite, loss, jnp.nan), jnp.where(is_finite, norm, jnp.nan), skipped)
    return TrainState(state.step + 1, params, ema, optimizer_state, skipped), measured
