"""Training step against masked convolutions and a matmul.

Network R: 28x28x1, 256 levels, a first layer of 7x7, 7 gated layers of 3x3, 64 features, head 64, batch 32, with
clipping, AdamW and EMA.

"naive" is figure 2 with masked n x n and 1 x n kernels, on one device; its logits are compared first. The ceiling is a
float32 matmul of 2048 x 2048 x 2048. The fastest round counts. Useful FLOPs are three forward passes of an unmasked
network, executed FLOPs XLA's count.
"""

import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import click
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import SingleDeviceSharding

from benchmarks.timing import fastest
from experiments import default_config
from experiments.paper import unconditional
from pixelcnn_jax import GatedPixelCNN
from pixelcnn_jax.distributions import log_probs_of
from pixelcnn_jax.foundation.devices import data_mesh, replicated, shard_batch, use_all_cores
from pixelcnn_jax.foundation.user_command import UserCommand
from pixelcnn_jax.models.autoregressive import encode
from pixelcnn_jax.models.colours import mask_params
from pixelcnn_jax.models.inputs import ImageSpec
from pixelcnn_jax.models.parameters import Params, layers_of
from pixelcnn_jax.training.config import RunConfig, parse_config
from pixelcnn_jax.training.experiment import Batch, Experiment
from pixelcnn_jax.training.optimizer import make_optimizer
from pixelcnn_jax.training.step import init_state, train_step

BATCH, SPEC = 32, ImageSpec(28, 28, 1, 256)


# Figure 2 by masks


def whole_kernels(model: GatedPixelCNN, params: Params) -> Params:
    """Embeds parameters in n x n and 1 x n masked kernels; ones give the masks."""
    params = mask_params(model, params)

    def layer(layer: Params) -> Params:
        rows, n, inputs, *_ = layer["vertical"]["kernel"].shape
        vertical = layer["vertical"]["kernel"].reshape(rows, n, inputs, -1)
        horizontal = jnp.concatenate([layer["horizontal"]["left"], layer["horizontal"]["pixel"][None]])
        horizontal = horizontal.reshape(1, len(horizontal), inputs, -1)
        kernels = {
            "vertical": jnp.pad(vertical, ((0, n - rows), (0, 0), (0, 0), (0, 0))),
            "horizontal": jnp.pad(horizontal, ((0, 0), (0, n - horizontal.shape[1]), (0, 0), (0, 0))),
            "crossing": layer["crossing"]["kernel"].reshape(1, 1, vertical.shape[-1], -1),
            "out": layer["out"]["kernel"][None, None],
        }
        biases = {name: layer[name]["bias"].reshape(-1) for name in ("vertical", "horizontal", "out")}
        return {name: {"kernel": kernel, "bias": biases.get(name, jnp.zeros(()))} for name, kernel in kernels.items()}

    head = jax.tree.map(lambda x: x[None, None] if x.ndim == 2 else x, params["head"])
    return {"layers": [layer(x) for x in layers_of(params, model.layers)], "head": head}


def naive_logits(model: GatedPixelCNN, params: Params, masks: Params, images: jax.Array) -> jax.Array:
    """Computes the logits of figure 2 by SAME convolutions with masked kernels."""
    params = jax.tree.map(lambda x, mask: x * mask.astype(x.dtype) if x.ndim == 4 else x, params, masks)

    def convolution(part: Params, x: jax.Array) -> jax.Array:
        numbers = ("NHWC", "HWIO", "NHWC")
        y = jax.lax.conv_general_dilated(x, part["kernel"], (1, 1), "SAME", dimension_numbers=numbers)
        return y + jnp.broadcast_to(part["bias"], y.shape)

    def gate(x: jax.Array) -> jax.Array:
        return jnp.tanh(x[..., : model.features]) * jax.nn.sigmoid(x[..., model.features :])

    vertical = horizontal = encode(model, params, images)
    for number, layer in enumerate(params["layers"]):
        above = convolution(layer["vertical"], vertical)
        both = convolution(layer["horizontal"], horizontal) + convolution(layer["crossing"], above)
        out = convolution(layer["out"], gate(both))
        vertical, horizontal = gate(above), out + horizontal if number else out
    hidden = jax.nn.relu(convolution(params["head"]["hidden"], jax.nn.relu(horizontal)))
    return convolution(params["head"]["logits"], hidden).reshape(*images.shape, model.levels)


def naive_experiment(experiment: Experiment) -> Experiment:
    """Builds the experiment with masked convolutions, and compares its logits."""
    model, params = experiment.networks, experiment.init(jax.random.key(1))["params"]
    masks = jax.tree.map(lambda x: np.asarray(x != 0), whole_kernels(model, jax.tree.map(jnp.ones_like, params)))
    images = jax.random.randint(jax.random.key(2), (1, *SPEC.shape), 0, model.levels)
    naive = naive_logits(model, whole_kernels(model, params), masks, images)
    np.testing.assert_allclose(naive, model.apply({"params": params}, images), atol=1e-4)

    def loss(params: Params, batch: Batch, key: Any) -> jax.Array:
        return -log_probs_of(naive_logits(model, params, masks, batch["image"]), batch["image"]).sum(axis=(1, 2, 3))

    return experiment._replace(init=lambda key: whole_kernels(model, experiment.init(key)["params"]), loss=loss)


# Timing


def network_r() -> RunConfig:
    config = default_config("unconditional")
    config.train.batch_size = BATCH
    return parse_config(config, unconditional.Config)


def stepper(
    experiment: Experiment, config: RunConfig, batch: Batch, sharding: Any, microbatch_size: int | None = None
) -> tuple[Callable[..., Any], jax.stages.Compiled, float]:
    """Builds the next step's function, the compiled step and its compile time."""
    optimizer, key = make_optimizer(config.optimizer, experiment.networks, steps=config.train.steps), jax.random.key(0)
    state = jax.jit(partial(init_state, experiment, optimizer), out_shardings=sharding)(key)
    options = {"experiment": experiment, "optimizer": optimizer, "ema_decay": config.train.ema_decay}
    step = partial(train_step, **options, microbatch_size=microbatch_size, mesh=getattr(sharding, "mesh", None))
    lowered = jax.jit(step, donate_argnames="state", out_shardings=sharding).lower(state, batch, key)
    began = time.perf_counter()
    compiled = lowered.compile()
    seconds = time.perf_counter() - began

    def next_step(batch: Batch = batch) -> Any:
        nonlocal state
        state, measured = compiled(state, batch, key)
        return measured

    return next_step, compiled, seconds


def gflop_of(compiled: jax.stages.Compiled) -> float:
    analysis: Any = compiled.cost_analysis()
    return 1e-9 * float(analysis["flops"])


def useful_flops(experiment: Experiment, spec: ImageSpec) -> float:
    """Counts the FLOPs of an image in training: each weight of a kernel once per pixel, three times."""
    leaves = jax.tree_util.tree_leaves_with_path(jax.eval_shape(experiment.init, jax.random.key(0)))
    return 3 * 2.0 * spec.height * spec.width * sum(x.size for path, x in leaves if path[-1].key == "kernel")


@click.command(cls=UserCommand, help=__doc__)
@click.option(
    "--microbatch-size", multiple=True, type=int, default=(1, 2, 4, 32), show_default=True, help="Per device; 32 whole."
)
@click.option("--rounds", default=5, show_default=True, help="Number of times that each step is timed.")
def main(microbatch_size: tuple[int, ...], rounds: int) -> None:
    use_all_cores(BATCH // max(n for n in (1, *microbatch_size) if n < BATCH))
    config, mesh = network_r(), data_mesh()
    experiment = unconditional.make_experiment(config, SPEC)
    images = np.random.default_rng(0).integers(0, 256, (BATCH, *SPEC.shape)).astype(np.int32)
    batch, sharding = shard_batch(mesh, {"image": images}), SingleDeviceSharding(jax.devices()[0])

    steps, executed = {}, {}
    for size in microbatch_size:
        part = size if size < BATCH else None
        steps[f"microbatch {size}"], compiled, _ = stepper(experiment, config, batch, replicated(mesh), part)
        if size == BATCH:  # for others XLA counts the body of the loop once
            executed["package"] = gflop_of(compiled) * mesh.size / BATCH
    naive = naive_experiment(experiment)
    steps["naive"], compiled, _ = stepper(naive, config, jax.device_put({"image": images}, sharding), sharding)
    executed["naive"] = gflop_of(compiled) / BATCH
    square, product = jnp.ones((2048, 2048)), jax.jit(jnp.matmul)
    seconds = fastest({**steps, "product": lambda: product(square, square)}, rounds=rounds)

    useful = useful_flops(experiment, SPEC) / 1e9
    ceiling = 2e-9 * 2048**3 / seconds.pop("product")
    speeds = {name: BATCH / x for name, x in seconds.items()}

    print(f"useful GFLOP per image {useful:.3f}; executed {executed}; ceiling {ceiling:.0f} GFLOP/s")
    print("step           images/s  useful GFLOP/s  times naive  share of ceiling")
    for name, speed in speeds.items():
        rates = f"{speed * useful:15.1f} {speed / speeds['naive']:12.2f} {speed * useful / ceiling:17.2f}"
        print(f"{name:13} {speed:9.1f} {rates}")
    result = {"benchmark": "train_step", "device": f"{mesh.size} x {jax.devices()[0].device_kind}"}
    operations = {"useful_gflop": useful, "executed_gflop": executed, "ceiling_gflop_s": ceiling}
    print(json.dumps(result | operations | {"images_per_second": speeds}))


if __name__ == "__main__":
    main()
