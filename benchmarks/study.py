"""Compares validation scores of a short training with one change at a time.

python -m benchmarks.study [VARIANT ...] [--data-dir=DIR] [--seeds=1] [--features=16] [--images=12800]

Each training is a process on binary MNIST, timed in CPU seconds.
"""

import json
import math
import statistics
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from benchmarks.speedrun import SAME, Fields, train
from pixelcnn_jax.foundation.user_command import UserCommand
from pixelcnn_jax.training.metrics import read_records

MEASURE = "validation_bits_per_dim"
NATS = 28 * 28 * math.log(2)  # of an image, for each bit/dim
CONFIG = "configs/predecessors.py"
BASE: Fields = SAME | {
    "optimizer.name": "muon",
    "optimizer.learning_rate": 1e-2,
    "optimizer.warmup_steps": 50,
    "train.ema_decay": 0.99,
    "train.batch_size": 32,
    "data.validation_split": "validation[:1000]",
}
ADAMW = {"optimizer.name": "adamw"}
VARIANTS: dict[str, Fields] = {
    "base": {},
    "adamw, rate 0.001": ADAMW | {"optimizer.learning_rate": 1e-3},
    "adamw, rate 0.003": ADAMW | {"optimizer.learning_rate": 3e-3},
    "adamw, rate 0.006": ADAMW | {"optimizer.learning_rate": 6e-3},
    "rate 0.003": {"optimizer.learning_rate": 3e-3},
    "rate 0.02": {"optimizer.learning_rate": 2e-2},
    "rate 0.04": {"optimizer.learning_rate": 4e-2},
    "constant rate": {"optimizer.schedule": "constant"},
    "stable, then decay over 0.4": {"optimizer.schedule": "constant", "optimizer.decay": 0.4},
    "no EMA": {"train.ema_decay": 0.0},
    "weight decay 0.1": {"optimizer.weight_decay": 0.1},
    "batch 8, four times the steps": {"train.batch_size": 8},
    "batch 16, twice the steps": {"train.batch_size": 16},
    "batch 64, half the steps": {"train.batch_size": 64},
    "4 layers": {"model.layers": 4},
}


@click.command(cls=UserCommand, help=__doc__)
@click.argument("variants", nargs=-1, type=click.Choice([*VARIANTS]), metavar="[VARIANT]...")
@click.option("--data-dir", help="TFDS data directory. [default: that of TFDS]")
@click.option("--seeds", default=1, show_default=True, help="Number of seeds of each variant.")
@click.option("--features", default=16, show_default=True, help="Width of the network.")
@click.option("--images", default=12_800, show_default=True, help="Number of images that each training sees.")
def main(variants: tuple[str, ...], data_dir: str | None, seeds: int, features: int, images: int) -> None:
    base = BASE | {"model.features": features, "model.head_features": features}
    print(f"{'variant':38} {'features':>8} {'images':>8} {'CPU s':>6} {'nats':>8} {'spread':>7}", flush=True)
    rows = {}
    for name in variants or VARIANTS:
        fields, times, last = base | VARIANTS[name], [], []
        steps = images // fields["train.batch_size"]
        fields |= {"train.steps": steps, "train.eval_every": steps // 4, "train.checkpoint_every": steps}
        for seed in range(seeds):
            with TemporaryDirectory() as workdir:
                times.append(train(CONFIG, fields | {"seed": seed}, workdir, data_dir)["cpu_seconds"])
                log = Path(workdir) / "metrics.jsonl"
                last.append([record[MEASURE] * NATS for record in read_records(log) if MEASURE in record][-1])
        deviation = statistics.stdev(last) if seeds > 1 else 0.0
        mean, seconds = statistics.fmean(last), statistics.fmean(times)
        print(f"{name:38} {features:8} {images:8} {seconds:6.0f} {mean:8.3f} {deviation:7.3f}", flush=True)
        rows[name] = {"nats": mean, "spread": deviation, "cpu_seconds": seconds}
    print(json.dumps({"benchmark": "study", "features": features, "images": images, "rows": rows}))


if __name__ == "__main__":
    main()
