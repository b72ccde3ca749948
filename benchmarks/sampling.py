"""How long exact sampling takes, beside re-running the network per sub-pixel and beside one forward pass.

python -m benchmarks.sampling [--batch=1,16,64] [--cifar10] [--workdir=DIR]

Network R: 28x28x1, 256 levels, strict layer 7x7, then 7 gated layers of 3x3, 64 features, head 64; untrained, for time
does not depend on the weights. "naive" is timed on one forward pass a sub-pixel, scaled to all of them, which it says.
Each CPU core is a device, and batches that they divide are spread over them, in the forward pass as in sampling; of the
forward pass the faster way counts, for one device can use all cores there.

The colour table holds R and, if asked for, the network of configs/cifar10.py against themselves with one channel.

With --workdir, the model of a run is sampled by fixed-point iteration as well (Song et al. 2021): the whole image is
drawn again from the same noise until it no longer changes. How often that is depends on the weights.
"""

import json
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from absl import app, flags

from configs import cifar10
from experiments import trained
from pixelcnn_jax import GatedPixelCNN, sample
from pixelcnn_jax.devices import beside, spread
from pixelcnn_jax.sampling import draw, noise

BATCH = flags.DEFINE_list("batch", ["1", "16", "64"], "batch sizes of network R")
CIFAR10 = flags.DEFINE_bool("cifar10", False, "time the network of configs/cifar10.py too, at batch 16")
WORKDIR = flags.DEFINE_string("workdir", None, "a run whose model is sampled by fixed-point iteration too")

R = GatedPixelCNN(levels=256, features=64, layers=7, head_features=64)


def seconds(function: Callable[[], Any], repeats: int = 3) -> float:
    """The fastest of some runs, the first, which compiles, not counted."""
    jax.block_until_ready(function())
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(function())
        times.append(time.perf_counter() - began)
    return min(times)


def variables_of(model: GatedPixelCNN) -> dict[str, Any]:
    """Untrained."""
    return dict(jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 8, 8, model.channels), jnp.int32)))


def sampling(model: GatedPixelCNN, variables: dict[str, Any], batch: int, size: int) -> dict[str, float]:
    """One row: one forward pass, cached and naive sampling."""
    images, keys = jnp.zeros((batch, size, size, model.channels), jnp.int32), jax.random.split(jax.random.key(0), batch)
    forward = jax.jit(model.apply)
    split = beside(spread(keys), images, variables)
    one = min(seconds(lambda: forward(variables, images), 5), seconds(lambda: forward(split[1], split[0]), 5))
    cached = seconds(lambda: sample(model, variables, spread(keys), shape=(batch, size, size)))
    naive = one * size * size * model.channels
    row = {"batch": batch, "forward_s": one, "cached_s": cached, "naive_scaled_s": naive}
    return row | {"naive_over_cached": naive / cached, "cached_over_forward": cached / one}


def colour(model: GatedPixelCNN, size: int) -> dict[str, float]:
    """Time per pixel of 16 images: with three channels and with one."""

    def time_of(model: GatedPixelCNN) -> float:
        variables = variables_of(model)
        keys = spread(jax.random.split(jax.random.key(0), 16))
        return seconds(partial(sample, model, variables, keys, shape=(16, size, size))) / (16 * size**2)

    three, one = time_of(model.clone(channels=3)), time_of(model.clone(channels=1))
    return {"three_channels_us": 1e6 * three, "one_channel_us": 1e6 * one, "ratio": three / one}


@partial(jax.jit, static_argnames=("model", "shape"))
def fixed_point(
    model: GatedPixelCNN, variables: dict[str, Any], key: jax.Array, shape: tuple[int, int, int]
) -> tuple[jax.Array, jax.Array]:
    """The images that drawing every sub-pixel again from the same noise does not change; how often it was done."""
    batch, height, width = shape
    keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(batch))
    of_row = partial(noise, keys, width=width, channels=model.channels, levels=model.levels)
    gumbel = jnp.moveaxis(jax.vmap(of_row)(jnp.arange(height)), 0, 1)

    def again(state: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        images, _, count = state
        logits = model.apply(variables, images)
        drawn = draw(logits.reshape(-1, model.levels), gumbel.reshape(-1, gumbel.shape[-1])).reshape(images.shape)
        return drawn, jnp.any(drawn != images), count + 1

    start = (jnp.zeros((*shape, model.channels), jnp.int32), jnp.array(True), jnp.array(0))
    images, _, count = jax.lax.while_loop(lambda state: state[1], again, start)
    return images, count


def main(_: list[str]) -> None:
    """Prints the tables and, last, all of it as JSON."""
    jax.config.update("jax_num_cpu_devices", os.cpu_count())
    networks = [("R", R, 28, [int(batch) for batch in BATCH.value])]
    if CIFAR10.value:
        config = cifar10.get_config()
        networks.append(("cifar10", GatedPixelCNN(levels=256, channels=3, **config.model), 32, [16]))
    result: dict[str, Any] = {"benchmark": "sampling", "device": jax.devices()[0].device_kind}

    print("network  batch  forward s   cached s  naive s (scaled)  naive/cached  cached/forward")
    for name, model, size, batches in networks:
        for batch in batches:
            row = sampling(model, variables_of(model), batch, size)
            one, cached, naive, gain, cost = list(row.values())[1:]
            print(f"{name:8} {batch:5} {one:10.4f} {cached:10.4f} {naive:17.1f} {gain:13.0f} {cost:15.2f}", flush=True)
            result.setdefault(name, []).append(row)

    print("\nnetwork  batch  3 channels, us a pixel  1 channel  ratio")
    for name, model, size, _ in networks:
        row = colour(model, size)
        print(f"{name:8} {16:5} {row['three_channels_us']:23.2f} {row['one_channel_us']:10.2f} {row['ratio']:6.2f}")
        result[f"{name}_colour"] = row

    if WORKDIR.value:
        model, variables, (height, width, _), _ = trained.load(WORKDIR.value)
        print("\nfixed-point iteration  batch  iterations  fixed point s  cached s  same images")
        for batch in (1, 16):
            shape = (batch, height, width)
            cached = seconds(partial(sample, model, variables, jax.random.key(1), shape=shape))
            iterated = seconds(partial(fixed_point, model, variables, jax.random.key(1), shape))
            images, count = fixed_point(model, variables, jax.random.key(1), shape)
            same = bool((images == sample(model, variables, jax.random.key(1), shape=shape)).all())
            print(f"{WORKDIR.value:21} {batch:6} {int(count):11} {iterated:14.3f} {cached:9.3f}  {same}")
            row = {
                "batch": batch,
                "iterations": int(count),
                "fixed_point_s": iterated,
                "cached_s": cached,
                "same": same,
            }
            result.setdefault("fixed_point", []).append(row)
    print(json.dumps(result))


if __name__ == "__main__":
    app.run(main)
