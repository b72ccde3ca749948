"""The cost of a training step, estimated by the compiler without allocating or computing any of it."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from pixelcnn_jax.models.inputs import ImageSpec
from pixelcnn_jax.training.config import RunConfig
from pixelcnn_jax.training.experiment import Batch, Experiment, Params, Training
from pixelcnn_jax.training.optimizer import make_optimizer
from pixelcnn_jax.training.step import init_state


def estimate_cost(config: RunConfig, experiment: Experiment, spec: ImageSpec) -> dict[str, int]:
    """Estimates a training step from shapes.

    Returns:
      parameters: how many numbers are trained.
      state_bytes: parameters, EMA and optimizer state; every device holds all of it.
      microbatch_size: images computed at a time.
      microbatch_bytes: temporary memory of the forward and backward pass of a microbatch, over all devices, as XLA
        plans it for this machine's CPU. ``config.train.microbatch_size`` lowers it. ``config.model.remat`` lowers it
        on accelerators only: the CPU's scheduler computes the layers again too early.
      step_flops: floating-point operations of a step, by XLA's cost analysis.
    """
    key = jax.eval_shape(lambda: jax.random.key(0))
    optimizer = make_optimizer(config.optimizer, steps=config.train.steps)
    state = jax.eval_shape(partial(init_state, experiment, optimizer), key)
    size = config.train.microbatch_size or config.train.batch_size
    batch = {"image": jax.ShapeDtypeStruct((size, *spec.shape), jnp.int32)}
    if spec.classes is not None:
        batch["label"] = jax.ShapeDtypeStruct((size,), jnp.int32)
    if config.data.examples:
        batch["examples"] = jax.ShapeDtypeStruct((size, config.data.examples, *spec.shape), jnp.int32)

    def loss(params: Params, batch: Batch, key: Key[Array, ""]) -> Float[Array, ""]:
        return jnp.mean(experiment.loss(params, batch, Training(key, jnp.zeros((), jnp.int32))))

    compiled = jax.jit(jax.value_and_grad(loss)).lower(state.params, batch, key).compile()
    memory: Any = compiled.memory_analysis()
    analysis: Any = compiled.cost_analysis()
    return {
        "parameters": sum(x.size for x in jax.tree.leaves(state.params)),
        "state_bytes": _bytes(state),
        "microbatch_size": size,
        "microbatch_bytes": int(memory.temp_size_in_bytes),
        "step_flops": int(analysis["flops"] * (config.train.batch_size // size)),
    }


def _bytes(tree: Any) -> int:
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))
