"""Speedrun: time to a stated validation score.

python -m benchmarks.speedrun digits [--data-dir=DIR] [--seeds=3]

A track is a config, a number of steps and a goal for the mean over seeds. Imports, compilation and the last validation
count. The first seed's model scores the test split. To enter a record, change the recipe of a track; data and splits
may not change.
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import click

from benchmarks.timing import NOTHING_COMPILED, children_cpu_seconds
from pixelcnn_jax import InputError
from pixelcnn_jax.cli.evaluate import evaluate_split
from pixelcnn_jax.cli.options import load_density
from pixelcnn_jax.foundation.user_command import UserCommand
from pixelcnn_jax.zoo.pretrained import read_card

Fields = dict[str, Any]  # by the name of a field, such as train.steps


class Track(NamedTuple):
    """A goal and its fastest recipe: a config with changed fields."""

    goal: float
    measure: str
    config: str
    recipe: Fields


TRACKS = {
    "digits": Track(
        1.86,
        "bits_per_dim",
        "configs/digits.py",
        {"train.steps": 660, "optimizer.name": "muon", "optimizer.learning_rate": 1e-2},
    ),
    "binarized_mnist": Track(
        82.0,
        "nats",
        "configs/binarized_mnist_convolutional.py",
        {
            "train.batch_size": 16,
            "train.microbatch_size": 1,
            "train.steps": 2_600,
            "train.ema_decay": 0.995,
            "optimizer.schedule": "constant",
            "optimizer.decay": 0.4,
            "optimizer.learning_rate": 3.5e-3,
            "optimizer.weight_decay": 0.1,
            "optimizer.warmup_steps": 50,
        },
    ),
    "cifar10": Track(3.80, "bits_per_dim", "configs/cifar10_small.py", {"train.steps": 900}),
}
SAME = {"train.sample_rows": 1, "train.sample_columns": 1, "train.score_train_images": 1, "train.baselines": False}


def train(config: str, fields: Fields, workdir: str, data_dir: str | None) -> dict[str, float]:
    """Trains in a new process; returns wall-clock and CPU seconds."""
    fields = fields | {"data.test_split": ""} | ({"data.data_dir": data_dir} if data_dir else {})
    line = [sys.executable, "-m", "experiments.train", f"--config={config}", f"--workdir={workdir}"]
    before, began = children_cpu_seconds(), time.perf_counter()
    line += [f"--config.{name}={x}" for name, x in fields.items()]
    done = subprocess.run(line, stdout=2, check=False, env=NOTHING_COMPILED)  # stderr: output is for figures
    times = {"seconds": time.perf_counter() - began, "cpu_seconds": children_cpu_seconds() - before}
    if done.returncode:
        raise InputError(f"The training ended with status {done.returncode}.")
    return times


@click.command(cls=UserCommand, help=__doc__)
@click.argument("name", metavar="TRACK", type=click.Choice([*TRACKS]))
@click.option("--data-dir", help="TFDS data directory. [default: that of TFDS]")
@click.option("--seeds", default=3, show_default=True, help="Number of seeds; a record needs three.")
def main(name: str, data_dir: str | None, seeds: int) -> None:
    track = TRACKS[name]
    whole = {"train.eval_every": track.recipe["train.steps"], "train.checkpoint_every": track.recipe["train.steps"]}
    with TemporaryDirectory() as folder:
        results = []
        for seed in range(seeds):
            workdir = str(Path(folder) / str(seed))
            times = train(track.config, SAME | track.recipe | whole | {"seed": seed}, workdir, data_dir)
            results.append({"score": read_card(workdir)["scores"]["validation"][track.measure]} | times)
            print("seed {}: {score:.4f} in {seconds:.0f} s, {cpu_seconds:.0f} s of CPU".format(seed, **results[-1]))
        density = load_density(str(Path(folder) / "0"))
        config = dict(density.card["config"])
        config["data"] = config["data"] | {"test_split": "test"}
        density = density._replace(card=density.card | {"config": config})
        test = evaluate_split(density, "test", data_dir)[track.measure]
    mean = {key: statistics.fmean(result[key] for result in results) for key in results[0]}
    reached = mean["score"] <= track.goal
    print("mean: {score:.4f} in {seconds:.0f} s, {cpu_seconds:.0f} s of CPU; ".format(**mean), end="")
    print(f"the goal of {track.goal} is {'reached' if reached else 'missed'}; test {test:.4f}")
    print(
        json.dumps({"benchmark": "speedrun", "track": name, "reached": reached, "test": test, "seeds": results, **mean})
    )


if __name__ == "__main__":
    main()
