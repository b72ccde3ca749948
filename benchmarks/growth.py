"""Scaling of time and memory with layers, features, image and batch size.

One varies at a time around 4 layers of 32 features, 16x16x1 with 16 levels, batch 8, one device. Exponents are
least-squares slopes in log-log. Memory is XLA's temporary memory.
"""

import json
from typing import Any

import click
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import SingleDeviceSharding

from benchmarks.timing import fastest
from benchmarks.train_step import stepper
from experiments import default_config
from experiments.paper import unconditional
from pixelcnn_jax.foundation.user_command import UserCommand
from pixelcnn_jax.models.inputs import ImageSpec
from pixelcnn_jax.training.config import parse_config

BASE = {"layers": 4, "features": 32, "size": 16, "batch": 8}
VARIED = {"layers": (1, 2, 4, 8, 16), "features": (16, 32, 64, 128), "size": (8, 16, 32), "batch": (2, 8, 32)}


def measure(rounds: int, *, layers: int, features: int, size: int, batch: int) -> dict[str, float]:
    config = default_config("unconditional")
    config.model.update({"layers": layers, "features": features, "first_kernel_size": 3})
    config = parse_config(config, unconditional.Config)
    experiment = unconditional.make_experiment(config, ImageSpec(size, size, 1, 16))
    images = {"image": jnp.zeros((batch, size, size, 1), jnp.int32)}
    one_device = SingleDeviceSharding(jax.devices()[0])
    step, compiled, compile_s = stepper(experiment, config, images, one_device)
    step_s = fastest({"step": step}, rounds=rounds)["step"]
    memory: Any = compiled.memory_analysis()
    return {"step_s": step_s, "compile_s": compile_s, "memory_mib": memory.temp_size_in_bytes / 2**20}


def exponent(sizes: tuple[int, ...], values: list[float]) -> float:
    """Fits b of values = a sizes^b."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


@click.command(cls=UserCommand, help=__doc__)
@click.option("--rounds", default=3, show_default=True, help="Number of times that each step is timed.")
def main(rounds: int) -> None:
    result: dict[str, Any] = {"benchmark": "growth", "device": jax.devices()[0].device_kind, "base": BASE}
    measure(rounds, **BASE)  # the first compilation is slower
    print("varied       size     step s  compile s  memory MiB")
    for name, sizes in VARIED.items():
        rows = [measure(rounds, **BASE | {name: size}) for size in sizes]
        for size, row in zip(sizes, rows, strict=True):
            step, compiling, memory = row.values()
            print(f"{name:10} {size:6} {step:10.4f} {compiling:10.2f} {memory:11.1f}", flush=True)
        exponents = {column: exponent(sizes, [row[column] for row in rows]) for column in rows[0]}
        step, compiling, memory = exponents.values()
        print(f"{'exponent':17} {step:10.2f} {compiling:10.2f} {memory:11.2f}")
        result[name] = {"sizes": sizes, "rows": rows, "exponents": exponents}

    small = {"features": 8, "size": 8, "batch": 2}
    shallow, deep = (measure(1, **small, layers=layers)["compile_s"] for layers in (1, 20))
    print(f"20 layers compile in {deep:.2f} s, 1 layer in {shallow:.2f} s: {deep / shallow:.1f} times as long")
    print(json.dumps(result | {"compile_20_over_1": deep / shallow}))


if __name__ == "__main__":
    main()
