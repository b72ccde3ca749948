"""What reading the data costs a training: the loop's step with the input pipeline, beside the same on one batch.

python -m benchmarks.input [--data_dir=DIR] [--blocks=8] [--steps=12]

The network of configs/cifar10.py, reduced for a CPU: 24 features x 4 layers, head 48, batch 32, mirrored at random.
With --data_dir, where TFDS keeps its data sets, the images are CIFAR-10's training images; without, arrays of the same
shape made on the spot, which takes the same path from there on.

A split of this size is decoded once and kept, in about the first hundred steps of a run: how long that takes is printed
by itself. Then blocks of steps that read and blocks of steps that do not alternate; each block counts by its
mean step, and each way by the fastest of its blocks. The ratio of the blocks' sums is printed too: over the whole run,
with whatever else the machine did in it.
"""

import json
import time
from collections.abc import Iterator
from functools import partial
from itertools import repeat
from typing import Any

import jax
import numpy as np
from absl import app, flags

from configs import cifar10
from experiments import cli, unconditional
from pixelcnn_jax.data.dataset import Images, from_array, load, read_ahead, training_batches
from pixelcnn_jax.devices import data_mesh, replicated, shard_batch, wait_for_older
from pixelcnn_jax.training.loop import Splits, init_state, make_optimizer, train_step

DATA_DIR = flags.DEFINE_string("data_dir", None, "where TFDS keeps CIFAR-10; random images without")
BLOCKS = flags.DEFINE_integer("blocks", 8, "how many blocks of steps each way")
STEPS = flags.DEFINE_integer("steps", 12, "steps in a block")


def images_of(data_dir: str | None) -> Images:
    """CIFAR-10's training images, or random ones like them."""
    if data_dir:
        return load("cifar10", "train[:45000]", data_dir=data_dir)
    made = np.random.default_rng(0).integers(0, 256, (5_000, 32, 32, 3)).astype(np.uint8)
    return from_array(made, levels=256, description="random images")


def main(_: list[str]) -> None:
    """Prints the seconds a step and, last, all of it as JSON."""
    config = cifar10.get_config()
    config.model.update({"features": 24, "layers": 4, "head_features": 48})
    config.at_once = 4
    cli.use_all_cores(config)
    images, mesh = images_of(DATA_DIR.value), data_mesh()
    experiment, optimizer = unconditional.make_experiment(config, Splits(images, images)), make_optimizer(config)
    key = jax.random.key(0)
    state = jax.jit(partial(init_state, experiment, optimizer), out_shardings=replicated(mesh))(key)
    step = partial(train_step, experiment=experiment, optimizer=optimizer, ema=config.ema, at_once=config.at_once)
    next_state = jax.jit(step, donate_argnames="state", out_shardings=replicated(mesh))

    began = time.perf_counter()
    for _ in images.examples:
        pass
    decoding = time.perf_counter() - began
    batches = read_ahead(training_batches(images, batch_size=config.batch_size, seed=0, flip=config.flip))
    constant = shard_batch(mesh, next(batches))

    def block(inputs: Iterator[Any]) -> float:
        """Seconds a step, of some steps as the train loop does them."""
        nonlocal state
        losses: list[jax.Array] = []
        began = time.perf_counter()
        for _ in range(STEPS.value):
            state, loss = next_state(state, next(inputs), key)
            losses.append(loss)
            wait_for_older(losses)
        jax.block_until_ready(losses)
        return (time.perf_counter() - began) / STEPS.value

    ways = {"reading": (shard_batch(mesh, batch) for batch in batches), "constant": repeat(constant)}
    for inputs in ways.values():
        block(inputs)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(BLOCKS.value):
        for name in list(ways)[:: 1 if number % 2 else -1]:  # neither is always the one that comes first
            times[name].append(block(ways[name]))

    least, total = ({name: of(found) for name, found in times.items()} for of in (min, sum))
    ratio, overall = least["reading"] / least["constant"], total["reading"] / total["constant"]
    print(f"{images.description}: {len(images):,} images decoded once in {decoding:.1f} s")
    print(f"{least['reading']:.4f} s a step reading, {least['constant']:.4f} s on one batch")
    print(f"reading / one batch {ratio:.3f} (at most 1.03), over all blocks {overall:.3f}")
    result = {"benchmark": "input", "device": f"{mesh.size} x {jax.devices()[0].device_kind}", "ratio": ratio}
    print(
        json.dumps(
            result
            | {"data": images.description, "seconds_decoding": decoding, "overall": overall, "seconds_a_step": least}
        )
    )


if __name__ == "__main__":
    app.run(main)
