"""Numerics, speed and a profile of a GPU or TPU, then a training run on it.

python -m benchmarks.accelerator [--config=cifar10 ...] [--quick] [--train-seconds=540 --workdir=DIR -- CONFIG FLAGS]

Compares likelihood, gradient, samples and integer-model files with the CPU; measures training in bfloat16, for known
chips as a fraction of peak FLOPs (of an unmasked network), and cached sampling; lists the slowest operations. With
--train-seconds trains configs/cifar10_full.py with the output and optimizer of configs/cifar10_small.py; flags after
-- go to the training command. Needs no TensorFlow.
"""

import importlib
import json
import os
import re
import sys
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import click
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import fastest
from benchmarks.train_step import stepper, useful_flops
from experiments.paper import unconditional
from pixelcnn_jax import compress, decompress, load_pretrained, log_prob, naive_sample, sample
from pixelcnn_jax.foundation.devices import data_mesh, replicated, shard_batch
from pixelcnn_jax.foundation.user_command import UserCommand
from pixelcnn_jax.models.inputs import ImageSpec
from pixelcnn_jax.training.config import RunConfig, parse_config

# Peak FLOP/s in bfloat16, without sparsity (data sheets).
PEAKS = {
    "H100": 989e12,
    "H200": 989e12,
    "A100": 312e12,
    "L4": 121e12,
    "T4": 65e12,
    "TPU v5 lite": 197e12,
    "TPU v6 lite": 918e12,
    "TPU v5p?": 459e12,
}
# The images of each config.
SHAPES = {
    "digits": ImageSpec(8, 8, 1, 17),
    "cifar10_full": ImageSpec(32, 32, 3, 256),
    "cifar10": ImageSpec(32, 32, 3, 256),
    "imagenet32": ImageSpec(32, 32, 3, 256),
    "imagenet64": ImageSpec(64, 64, 3, 256),
}
INTEGER_MODEL = "digits_integer"
# The fastest recipe at 48 features (docs/quick_training.md); not tried at this width.
RECIPE = {
    "model.mixture": 8,
    "optimizer.name": "muon",
    "optimizer.learning_rate": 4e-3,
    "optimizer.weight_decay": 0.1,
}


def peak() -> float | None:
    kind = jax.devices()[0].device_kind
    return next((rate for name, rate in PEAKS.items() if re.search(rf"{name}\b", kind)), None)


def resolved(name: str, **model: Any) -> RunConfig:
    config = importlib.import_module(f"configs.{name}").get_config()
    config.model.update({"dtype": "bfloat16", **model})
    return parse_config(config, unconditional.Config)


def numerics(name: str, count: int) -> dict[str, Any]:
    """Compares nats, gradient and samples on the accelerator with the CPU."""
    model, variables, card = load_pretrained(name)
    shape, key = (count, *card["image_spec"].shape[:2]), jax.random.key(0)
    images = sample(model, variables, key, shape=shape)

    def figures(device: jax.Device) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
        with jax.default_device(device):
            device_images, device_variables = jax.device_put((images, variables), device)
            gradient = jax.jit(jax.grad(lambda v: jnp.mean(log_prob(model, v, device_images))))(device_variables)
            drawn = sample(model, device_variables, jax.device_put(key, device), shape=shape)
            results = log_prob(model, device_variables, device_images), jax.tree.leaves(gradient), drawn
            return jax.tree.map(np.asarray, results)  # type: ignore[no-any-return]

    nats, gradient, drawn = figures(jax.devices()[0])
    cpu_nats, cpu_gradient, cpu_drawn = figures(jax.devices("cpu")[0])
    norm = np.sqrt(sum(np.sum(x**2) for x in cpu_gradient))
    off = np.sqrt(sum(np.sum((x - y) ** 2) for x, y in zip(gradient, cpu_gradient, strict=True)))
    return {
        "model": name,
        "nats_off": float(np.max(np.abs(nats - cpu_nats) / np.abs(cpu_nats))),
        "gradient_off": float(off / norm),
        "same_sub_pixels": float(np.mean(drawn == cpu_drawn)),
        "cached_is_naive": bool((naive_sample(model, variables, key, shape=shape) == images).all()),
    }


def same_files(count: int) -> dict[str, bool]:
    model, variables, card = load_pretrained(INTEGER_MODEL)
    images = sample(model, variables, jax.random.key(0), shape=(count, *card["image_spec"].shape[:2]))
    file = compress(model, variables, images)
    with jax.default_device(jax.devices("cpu")[0]):
        cpu_file = compress(model, jax.device_put(variables, jax.devices("cpu")[0]), np.asarray(images))
    return {"same_file": file == cpu_file, "decoded": bool((decompress(model, variables, cpu_file) == images).all())}


def training(name: str, batch_size: int, rounds: int, trace: Path, **model: Any) -> dict[str, Any]:
    config, spec, mesh = resolved(name, **model), SHAPES[name], data_mesh()
    experiment = unconditional.make_experiment(config, spec)
    images = np.random.default_rng(0).integers(0, spec.levels, (batch_size, *spec.shape)).astype(np.int32)
    step, *_ = stepper(experiment, config, shard_batch(mesh, {"image": images}), replicated(mesh))
    seconds = fastest({"step": step}, rounds=rounds)["step"]
    with jax.profiler.trace(str(trace)):
        jax.block_until_ready([step() for _ in range(3)])
    flops = useful_flops(experiment, spec) * batch_size
    speed = {"images_per_second": batch_size / seconds, "flops": flops / seconds}
    row = {"config": name, "batch_size": batch_size, **speed}
    if rate := peak():
        row["share_of_peak"] = flops / seconds / mesh.size / rate
    return row | {"slowest": slowest(trace)}


def slowest(trace: Path, count: int = 8) -> list[dict[str, Any]]:
    """Lists the slowest operations of a profile, by device or, on a CPU, by thread."""
    data = jax.profiler.ProfileData.from_file(str(next(trace.rglob("*.xplane.pb"))))
    planes = [plane for plane in data.planes if plane.name.startswith("/device:")]
    planes = [plane for plane in planes if "CUSTOM" not in plane.name] or list(data.planes)
    times: Counter[str] = Counter()
    for plane in planes:
        for line in plane.lines:
            if line.name not in ("python", "Steps", "XLA Modules"):
                for event in line.events:
                    if "::" not in event.name:  # not of the runtime itself
                        times[event.name] += event.duration_ns
    return [{"ms": time / 1e6, "operation": name} for name, time in times.most_common(count)]


def sampling(name: str, batches: tuple[int, ...], **model: Any) -> list[dict[str, Any]]:
    config, spec, rows = resolved(name, **model), SHAPES[name], []
    experiment = unconditional.make_experiment(config, spec)
    network, key = experiment.networks, jax.random.key(0)
    variables = jax.jit(experiment.init)(key)
    for count in batches:
        draw = partial(sample, network, variables, key, shape=(count, spec.height, spec.width))
        rows.append({"config": name, "batch": count} | fastest({"seconds": draw}, rounds=2))
    return rows


@click.command(cls=UserCommand, help=__doc__)
@click.option("--config", "names", multiple=True, type=click.Choice([*SHAPES]), default=("cifar10", "imagenet64"))
@click.option("--batch-size", default=256, show_default=True, help="Images of a training step.")
@click.option("--quick", is_flag=True, help="Two layers of digits: two minutes on a CPU.")
@click.option("--train-seconds", type=int, help="Train configs/cifar10_full.py for so long at the end.")
@click.option("--workdir", help="Workdir of that training.")
@click.argument("flags", nargs=-1)
def main(
    names: tuple[str, ...],
    batch_size: int,
    quick: bool,
    train_seconds: int | None,
    workdir: str | None,
    flags: tuple[str, ...],
) -> None:
    if train_seconds and not workdir:
        raise click.UsageError("--train-seconds needs --workdir.")
    # Leave GPU memory for the training run, a second process.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    names, batch_size = (("digits",), 8) if quick else (names, batch_size)
    changes: dict[str, Any] = {"layers": 2} if quick else {}
    batches = (1, 2) if quick else (1, 16, 256)
    result: dict[str, Any] = {"benchmark": "accelerator", "jax": jax.__version__, "peak": peak()}
    result["device"] = f"{jax.device_count()} x {jax.devices()[0].device_kind}"
    print(result["device"], flush=True)

    def say(title: str, figures: Any) -> None:
        result.setdefault(title, []).append(figures)
        print(f"{title}: {json.dumps(figures)}", flush=True)

    for name in ("digits",) if quick else ("digits", "cifar10"):
        say("numerics", numerics(name, 4))
    say("files", same_files(16))
    for name in names:
        with tempfile.TemporaryDirectory() as trace:
            say("training", training(name, batch_size, 3 if quick else 10, Path(trace), **changes))
        for row in sampling(name, batches, **changes):
            say("sampling", row)
    print(json.dumps(result), flush=True)
    if train_seconds:
        command = ["-m", "experiments.train", "--config=configs/cifar10_full.py", "--config.model.dtype=bfloat16"]
        command += [f"--config.{name}={value}" for name, value in RECIPE.items()]
        command += [f"--config.train.seconds={train_seconds}", f"--workdir={workdir}", *flags]
        os.execv(sys.executable, [sys.executable, *command])


if __name__ == "__main__":
    main()
