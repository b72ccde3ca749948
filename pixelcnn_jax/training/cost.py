"""Cost of a training step, from XLA's analysis, and its time, from a few microbatches."""

import os
import timeit
from typing import Any

import jax
import jax.numpy as jnp

from pixelcnn_jax.data.dataset import Dataset, stack
from pixelcnn_jax.foundation.devices import check_batch_size, data_mesh
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.training.config import RunConfig
from pixelcnn_jax.training.experiment import Experiment
from pixelcnn_jax.training.optimizer import make_optimizer
from pixelcnn_jax.training.step import TrainState, init_state
from pixelcnn_jax.training.warm_start import initial_params


def estimate_cost(config: RunConfig, experiment: Experiment, train: Dataset) -> dict[str, int | float]:
    """Estimates a training step.

    Returns:
      ``parameters``; ``state_bytes`` of parameters, EMA and optimizer per device; ``microbatch_size``;
      ``microbatch_bytes``, temporary memory of one as planned for this CPU, without the effect of
      ``config.model.remat``; ``step_flops``; ``training_minutes`` of all steps on one CPU device, by the fastest of
      five microbatches, without optimizer and validation.

    Raises:
      InputError: if the train state exceeds the memory, or microbatches do not divide the batch.
    """
    check_batch_size(data_mesh(jax.devices()[:1]), config.train.batch_size, config.train.microbatch_size)
    state, key = check_memory(config, experiment), jax.random.key(0)
    size = config.train.microbatch_size or config.train.batch_size
    batch = stack([train.get(index, seed=0) for index in range(size)])

    step = jax.jit(jax.value_and_grad(lambda *inputs: jnp.mean(experiment.loss(*inputs))))
    compiled: Any = step.lower(state.params, batch, key).compile()
    parts, params = config.train.batch_size // size, jax.jit(lambda key: initial_params(experiment, key))(key)
    seconds = min(timeit.repeat(lambda: jax.block_until_ready(compiled(params, batch, key)), number=1, repeat=5))
    return {
        "parameters": sum(x.size for x in jax.tree.leaves(state.params)),
        "state_bytes": _bytes(state),
        "microbatch_size": size,
        "microbatch_bytes": int(compiled.memory_analysis().temp_size_in_bytes),
        "step_flops": int(compiled.cost_analysis()["flops"] * parts),
        "training_minutes": config.train.steps * parts * seconds / 60,
    }


def check_memory(config: RunConfig, experiment: Experiment) -> TrainState:
    """Computes the shapes of the train state.

    Raises:
      InputError: if they exceed the memory with a gradient.
    """
    optimizer = make_optimizer(config.optimizer, experiment.networks, steps=config.train.steps)
    state = jax.eval_shape(lambda: init_state(experiment, optimizer, jax.random.key(0)))
    needed, memory = (_bytes(state) + _bytes(state.params)) / 2**30, memory_bytes() / 2**30
    if needed > memory:
        raise InputError(
            f"config.model has {sum(x.size for x in jax.tree.leaves(state.params)):,} parameters, which need "
            f"{needed:,.0f} GiB to train, more than the {memory:,.0f} GiB of memory here: lower config.model.features."
        )
    return state


def memory_bytes() -> int:
    """Reads the memory of the first device, else of the machine."""
    stats = jax.local_devices()[0].memory_stats() or {}
    return int(stats.get("bytes_limit", 0)) or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _bytes(tree: Any) -> int:
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))
