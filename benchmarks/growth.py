"""How step time, compile time and memory grow with layers, features, image size and batch.

python -m benchmarks.growth [--rounds=3]

One is varied at a time around a small network: 4 layers of 32 features, 16x16x1 with 16 levels, batch 8, on one device.
Each size is twice or more the one before; the exponent is the slope of a straight line through the logarithms, by least
squares: 1 is growth in proportion. The memory is what XLA allots to one step besides parameters and optimizer.

Compile time is also that of one layer and of twenty, of a network so small that nothing else counts.
"""

import json
import time
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from ml_collections import ConfigDict

from benchmarks.timing import fastest
from configs import base
from experiments import unconditional
from pixelcnn_jax.data.dataset import no_images
from pixelcnn_jax.training.loop import Splits, init_state, make_optimizer, train_step

ROUNDS = flags.DEFINE_integer("rounds", 3, "how often each step is timed")

BASE = {"layers": 4, "features": 32, "size": 16, "batch": 8}
VARIED = {"layers": (1, 2, 4, 8, 16), "features": (16, 32, 64, 128), "size": (8, 16, 32), "batch": (2, 8, 32)}


def measured(rounds: int, *, layers: int, features: int, size: int, batch: int) -> dict[str, float]:
    """One row: how long a step takes, how long it compiles, and the memory it needs for a while."""
    config: ConfigDict = base.get_config()
    config.model.update({"layers": layers, "features": features, "first_kernel_size": 3})
    nothing = no_images((size, size, 1), levels=16, classes=None)
    experiment, optimizer = unconditional.make_experiment(config, Splits(nothing, nothing)), make_optimizer(config)
    key, images = jax.random.key(0), jnp.zeros((batch, size, size, 1), jnp.int32)
    state = jax.jit(partial(init_state, experiment, optimizer))(key)
    step = jax.jit(partial(train_step, experiment=experiment, optimizer=optimizer, ema=config.ema))
    lowered = step.lower(state, {"image": images}, key)
    began = time.perf_counter()
    compiled = lowered.compile()
    compile_s = time.perf_counter() - began
    step_s = fastest({"step": lambda: compiled(state, {"image": images}, key)}, rounds=rounds)["step"]
    return {
        "step_s": step_s,
        "compile_s": compile_s,
        "memory_mib": compiled.memory_analysis().temp_size_in_bytes / 2**20,
    }


def exponent(sizes: tuple[int, ...], values: list[float]) -> float:
    """The b of values = a sizes^b, by least squares in the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def main(_: list[str]) -> None:
    """Prints the table and, last, all of it as JSON."""
    rounds = ROUNDS.value
    result: dict[str, Any] = {"benchmark": "growth", "device": jax.devices()[0].device_kind, "base": BASE}
    measured(rounds, **BASE)  # what the first compilation of a process does once is not of this network
    print("varied       size     step s  compile s  memory MiB")
    for name, sizes in VARIED.items():
        rows = [measured(rounds, **BASE | {name: size}) for size in sizes]
        for size, row in zip(sizes, rows, strict=True):
            print(
                f"{name:10} {size:6} {row['step_s']:10.4f} {row['compile_s']:10.2f} {row['memory_mib']:11.1f}",
                flush=True,
            )
        exponents = {column: exponent(sizes, [row[column] for row in rows]) for column in rows[0]}
        step, compiling, memory = exponents.values()
        print(f"{'':10} {'grows':>6} {step:10.2f} {compiling:10.2f} {memory:11.2f}")
        result[name] = {"sizes": sizes, "rows": rows, "exponents": exponents}

    small = {"features": 8, "size": 8, "batch": 2}
    one, twenty = (measured(1, **small, layers=layers)["compile_s"] for layers in (1, 20))
    print(f"compiling 20 layers takes {twenty / one:.1f} times as long as 1: {one:.2f} s and {twenty:.2f} s (below 20)")
    print(json.dumps(result | {"compile_20_over_1": twenty / one}))


if __name__ == "__main__":
    app.run(main)
