"""Cost of the input pipeline: training steps with it and on one fixed batch.

python -m benchmarks.input [--data-dir=DIR] [--blocks=8] [--steps=12]

The network of configs/cifar10_full.py at 24 features x 4 layers, head 48, batch 32, flips; CIFAR-10 with --data-dir,
else random images. Decoding into memory is timed separately. Blocks alternate; the fastest counts, and the ratio of
sums is printed too.
"""

import json
import time
from collections.abc import Iterator
from itertools import repeat
from typing import Any

import click
import jax
import numpy as np

from benchmarks.train_step import stepper
from configs import cifar10_full
from experiments.paper import unconditional
from pixelcnn_jax.data.batches import training_batches
from pixelcnn_jax.data.dataset import Dataset
from pixelcnn_jax.data.loading import load
from pixelcnn_jax.data.source import read_ahead
from pixelcnn_jax.foundation.devices import data_mesh, replicated, shard_batch, use_all_cores, wait_for_older
from pixelcnn_jax.foundation.user_command import UserCommand
from pixelcnn_jax.models.inputs import ImageSpec
from pixelcnn_jax.training.config import parse_config


def load_images(data_dir: str | None) -> Dataset:
    if data_dir:
        return load("cifar10", "train[:45000]", data_dir=data_dir)
    random = np.random.default_rng(0).integers(0, 256, (5_000, 32, 32, 3)).astype(np.uint8)
    return Dataset(lambda row: {"image": random[row]}, len(random), ImageSpec(32, 32, 3, 256), "random images")


@click.command(cls=UserCommand, help=__doc__)
@click.option("--data-dir", help="Where TFDS keeps CIFAR-10; random images without.")
@click.option("--blocks", default=8, show_default=True, help="Blocks of steps each way.")
@click.option("--steps", default=12, show_default=True, help="Steps in a block.")
def main(data_dir: str | None, blocks: int, steps: int) -> None:
    use_all_cores(8)
    settings = cifar10_full.get_config()
    settings.model.update({"features": 24, "layers": 4, "head_features": 48})
    config, dataset, mesh = parse_config(settings, unconditional.Config), load_images(data_dir), data_mesh()
    experiment = unconditional.make_experiment(config, dataset.spec)
    began = time.perf_counter()
    for _ in dataset:
        pass
    decoding = time.perf_counter() - began
    batches = read_ahead(training_batches(dataset, batch_size=config.train.batch_size, seed=0, flip=config.data.flip))
    constant = shard_batch(mesh, next(batches))
    step, *_ = stepper(experiment, config, constant, replicated(mesh), 4)

    def block(inputs: Iterator[Any]) -> float:
        measured: list[Any] = []
        began = time.perf_counter()
        for _ in range(steps):
            measured.append(step(next(inputs)))
            wait_for_older(measured)
        jax.block_until_ready(measured)
        return (time.perf_counter() - began) / steps

    ways = {"reading": (shard_batch(mesh, batch) for batch in batches), "constant": repeat(constant)}
    for inputs in ways.values():
        block(inputs)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(blocks):
        for name in list(ways)[:: 1 if number % 2 else -1]:  # neither always comes first
            times[name].append(block(ways[name]))

    least, total = ({name: of(values) for name, values in times.items()} for of in (min, sum))
    ratio, overall = least["reading"] / least["constant"], total["reading"] / total["constant"]
    print(f"{dataset.description}: {len(dataset):,} images decoded once in {decoding:.1f} s")
    print(f"{least['reading']:.4f} s per step reading, {least['constant']:.4f} s on one batch")
    print(f"reading / one batch {ratio:.3f}, over all blocks {overall:.3f}")
    result = {"benchmark": "input", "device": f"{mesh.size} x {jax.devices()[0].device_kind}", "ratio": ratio}
    result |= {"data": dataset.description, "seconds_decoding": decoding}
    print(json.dumps(result | {"overall": overall, "seconds_a_step": least}))


if __name__ == "__main__":
    main()
