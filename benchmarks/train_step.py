"""How fast a training step is, beside a naive formulation of the same network and beside the matrix product.

python -m benchmarks.train_step [--at_once=4,8,32] [--rounds=5]

Network R, which is that of configs/mnist.py: 28x28x1, 256 levels, strict layer 7x7, then 7 gated layers of 3x3, 64
features, head 64. A batch of 32, each CPU core a device, by the train_step of the package: clipping, AdamW and average
included; its gradient computed of a few images after the other, in several ways.

"naive" is Figure 2 by masks: n x n and 1 x n convolutions whose kernels are multiplied by zeros and ones, with the same
optimizer, on one device, which may use all cores. Its logits are compared with the package's before it is timed.

The ceiling is a float32 matrix product of 2048 x 2048 x 2048. All are timed in turn, the fastest of some rounds counts.
Useful operations are those that a network without masks has to do (``multiply_adds``), forward once and backward
twice; executed ones are what XLA counts in the compiled step.
"""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from jax.sharding import SingleDeviceSharding
from ml_collections import ConfigDict

from benchmarks.timing import fastest
from configs import mnist
from experiments import cli, unconditional
from pixelcnn_jax import GatedPixelCNN
from pixelcnn_jax.data.dataset import no_images
from pixelcnn_jax.devices import data_mesh, replicated, shard_batch
from pixelcnn_jax.likelihood import log_prob_of
from pixelcnn_jax.models.autoregressive import encode
from pixelcnn_jax.models.gated_pixelcnn import masked, multiply_adds
from pixelcnn_jax.models.parameters import Params
from pixelcnn_jax.training.loop import Batch, Experiment, Splits, init_state, make_optimizer, train_step

AT_ONCE = flags.DEFINE_list("at_once", ["4", "8", "32"], "images whose gradient is computed at a time")
ROUNDS = flags.DEFINE_integer("rounds", 5, "how often each is timed")

SHAPE = (28, 28, 1)
# On two cores with a ceiling of about 200 GFLOP/s: what must be reached, what is aimed at, and public code.
TARGETS = {"must": 40.0, "aim": 50.0, "public, JAX": 20.9, "public, PyTorch": 38.2}


# Figure 2 by masks


def whole_kernels(model: GatedPixelCNN, params: Params) -> Params:
    """The package's parameters as kernels of n x n and 1 x n, zero where a mask is: of parameters one, the masks."""
    params = masked(model, params)

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

    of_layer = [jax.tree.map(lambda x, i=i: x[i], params["layers"]) for i in range(model.layers)]
    head = jax.tree_util.tree_map_with_path(
        lambda path, x: x[None, None] if path[-1].key == "kernel" else x, params["head"]
    )
    return {"layers": [layer(one) for one in (params["strict"], *of_layer)], "head": head}


def naive_logits(model: GatedPixelCNN, params: Params, masks: Params, images: jax.Array) -> jax.Array:
    """Figure 2, each operation a SAME convolution with a masked kernel."""
    params = jax.tree.map(
        lambda x, mask: x * mask.astype(x.dtype) if x.ndim == 4 else x, params, masks
    )  # biases are never masked

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


def naive_experiment(model: GatedPixelCNN, experiment: Experiment) -> Experiment:
    """The same model with parameters that masks make it of; raises AssertionError if it is another."""
    params = experiment.init(jax.random.key(1))["params"]
    masks = jax.tree.map(lambda x: np.asarray(x != 0), whole_kernels(model, jax.tree.map(jnp.ones_like, params)))
    images = jax.random.randint(jax.random.key(2), (1, *SHAPE), 0, model.levels)
    found = naive_logits(model, whole_kernels(model, params), masks, images)
    np.testing.assert_allclose(found, model.apply({"params": params}, images), atol=1e-4)

    def loss(params: Params, batch: Batch, key: jax.Array | None) -> jax.Array:
        return -log_prob_of(naive_logits(model, params, masks, batch["image"]), batch["image"])

    return experiment._replace(init=lambda key: whole_kernels(model, experiment.init(key)["params"]), loss=loss)


# Timing


def stepper(
    experiment: Experiment, config: ConfigDict, batch: Batch, *, state_sharding: Any, at_once: int | None = None
) -> tuple[Callable[[], Any], float]:
    """A function that does the next step of a training, and the GFLOP that XLA counts in one on one device."""
    optimizer, key = make_optimizer(config), jax.random.key(0)
    state = jax.jit(partial(init_state, experiment, optimizer), out_shardings=state_sharding)(key)
    step = partial(train_step, experiment=experiment, optimizer=optimizer, ema=config.ema, at_once=at_once)
    compiled = jax.jit(step, donate_argnames="state", out_shardings=state_sharding).lower(state, batch, key).compile()

    def next_step() -> Any:
        nonlocal state
        state, loss = compiled(state, batch, key)
        return loss

    return next_step, 1e-9 * compiled.cost_analysis()["flops"]


def main(_: list[str]) -> None:
    """Prints the table and, last, all of it as JSON."""
    config = mnist.get_config()
    config.at_once = int(AT_ONCE.value[0])
    cli.use_all_cores(config)
    count, mesh = config.batch_size, data_mesh()
    model = GatedPixelCNN(levels=256, **config.model)
    nothing = no_images(SHAPE, levels=256, classes=None)
    experiment = unconditional.make_experiment(config, Splits(nothing, nothing))
    images = np.random.default_rng(0).integers(0, 256, (count, *SHAPE)).astype(np.int32)
    batch, one = shard_batch(mesh, {"image": images}), SingleDeviceSharding(jax.devices()[0])

    steps, executed = {}, {}
    for at_once in map(int, AT_ONCE.value):
        step, gflop = stepper(experiment, config, batch, state_sharding=replicated(mesh), at_once=at_once)
        steps[f"{at_once} at once"] = step
        if at_once == count:  # else XLA counts the body of the loop over the parts once
            executed["package"] = gflop * mesh.size / count
    naive = naive_experiment(model, experiment)
    steps["naive"], gflop = stepper(naive, config, jax.device_put({"image": images}, one), state_sharding=one)
    executed["naive"] = gflop / count
    square = jnp.ones((2048, 2048))
    product = jax.jit(jnp.matmul)
    steps["product"] = lambda: product(square, square)

    seconds = fastest(steps, rounds=ROUNDS.value)
    useful = 3 * 2e-9 * multiply_adds(model, *SHAPE[:2])
    ceiling = 2e-9 * 2048**3 / seconds.pop("product")
    speeds = {name: count / found for name, found in seconds.items()}
    naive_speed = speeds.pop("naive")
    best = max(speeds.values())

    print(f"useful GFLOP an image and step {useful:.3f}; executed: {executed}; ceiling {ceiling:.0f} GFLOP/s")
    print("step          images/s  useful GFLOP/s  over naive  of the ceiling")
    for name, speed in (*speeds.items(), ("naive", naive_speed)):
        of_all = speed * useful
        print(f"{name:12} {speed:9.1f} {of_all:15.1f} {speed / naive_speed:11.2f} {of_all / ceiling:15.2f}")
    print("images/s at a ceiling of about 200 GFLOP/s:", ", ".join(f"{name} {x}" for name, x in TARGETS.items()))
    result = {
        "benchmark": "train_step",
        "device": f"{mesh.size} x {jax.devices()[0].device_kind}",
        "useful_gflop": useful,
        "executed_gflop": executed,
        "ceiling_gflop_s": ceiling,
        "images_per_second": speeds,
        "naive_images_per_second": naive_speed,
        "over_naive": best / naive_speed,
        "of_ceiling": best * useful / ceiling,
        "targets": TARGETS,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    app.run(main)
