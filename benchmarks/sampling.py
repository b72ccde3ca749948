"""How long exact sampling takes, beside re-running the network per sub-pixel and beside one forward pass.

python -m benchmarks.sampling [--batch=1,16,64]

Network R: 28x28x1, 256 levels, strict layer 7x7, then 7 gated layers of 3x3, 64 features, head 64; untrained, for time
does not depend on the weights. "naive" is timed on one forward pass a sub-pixel, scaled to all 784, which it says.
"""

import json
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
from absl import app, flags

from pixelcnn_jax import GatedPixelCNN, sample

BATCH = flags.DEFINE_list("batch", ["1", "16", "64"], "batch sizes")
SIZE = 28


def seconds(function: Callable[[], jax.Array], repeats: int) -> float:
    """The fastest of some runs, the first, which compiles, not counted."""
    jax.block_until_ready(function())
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(function())
        times.append(time.perf_counter() - began)
    return min(times)


def main(_: list[str]) -> None:
    """Prints a row a batch size and, last, all rows as JSON."""
    model = GatedPixelCNN(levels=256, features=64, layers=7, head_features=64)
    variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, SIZE, SIZE, 1), jnp.int32))
    forward = jax.jit(model.apply)
    rows = []
    print(" batch  forward s   cached s  naive s (scaled)  naive/cached  cached/forward")
    for batch in map(int, BATCH.value):
        images = jnp.zeros((batch, SIZE, SIZE, 1), jnp.int32)
        one = seconds(lambda images=images: forward(variables, images), 5)
        cached = seconds(lambda n=batch: sample(model, variables, jax.random.key(0), shape=(n, SIZE, SIZE)), 3)
        naive = one * SIZE * SIZE
        row = {"batch": batch, "forward_s": one, "cached_s": cached, "naive_scaled_s": naive}
        rows.append(row | {"naive_over_cached": naive / cached, "cached_over_forward": cached / one})
        print(f"{batch:6} {one:10.4f} {cached:10.4f} {naive:17.1f} {naive / cached:13.0f} {cached / one:15.2f}")
    print(json.dumps({"benchmark": "sampling", "device": jax.devices()[0].device_kind, "rows": rows}))


if __name__ == "__main__":
    app.run(main)
