"""Time of exact sampling, against naive sampling and one forward pass.

Network R, untrained: 28x28x1, 256 levels, a first layer of 7x7, 7 gated layers of 3x3, 64 features, head 64. The time
of naive sampling is that of one forward pass (on one device or on all, whichever is faster) times the sub-pixels.

It also compares three channels with one, ``sample_and_log_prob`` with ``sample`` and then ``log_prob``, and one image,
on one device, with the matrix products of as many weights as its pixels read.
"""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import click
import jax
import jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec

from benchmarks.timing import fastest
from configs import cifar10_full
from pixelcnn_jax import GatedPixelCNN, log_prob, sample, sample_and_log_prob
from pixelcnn_jax.foundation.devices import AXIS, data_mesh, match_sharding, use_all_cores
from pixelcnn_jax.foundation.user_command import UserCommand

R = GatedPixelCNN(levels=256, features=64, layers=7, head_features=64)


def seconds(function: Callable[[], Any], rounds: int = 3) -> float:
    return fastest({"it": function}, rounds=rounds)["it"]


def new_variables(model: GatedPixelCNN) -> dict[str, Any]:
    return dict(jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 8, 8, model.channels), jnp.int32)))


def shared_keys(batch: int) -> jax.Array:
    """Makes a key for each image, spread over the devices if the batch divides evenly."""
    keys = jax.random.split(jax.random.key(0), batch)
    even = batch % jax.device_count() == 0
    return jax.device_put(keys, NamedSharding(data_mesh(), PartitionSpec(AXIS))) if even else keys


def compare(model: GatedPixelCNN, batch: int, size: int) -> dict[str, float]:
    variables, images = new_variables(model), jnp.zeros((batch, size, size, model.channels), jnp.int32)
    keys = shared_keys(batch)
    forward, (split_images, copies) = jax.jit(model.apply), match_sharding(keys, images, variables)
    forward_s = min(seconds(lambda: forward(variables, images), 5), seconds(lambda: forward(copies, split_images), 5))
    cached = seconds(lambda: sample(model, variables, keys, shape=(batch, size, size)))
    naive = forward_s * size * size * model.channels
    row = {"batch": batch, "forward_s": forward_s, "cached_s": cached, "naive_scaled_s": naive}
    return row | {"naive_over_cached": naive / cached, "cached_over_forward": cached / forward_s}


def compare_colours(model: GatedPixelCNN, size: int) -> dict[str, float]:
    def per_pixel(model: GatedPixelCNN) -> float:
        draw = partial(sample, model, new_variables(model), shared_keys(16), shape=(16, size, size))
        return 1e6 * seconds(draw) / (16 * size**2)

    colour, grey = per_pixel(model.clone(channels=3)), per_pixel(model.clone(channels=1))
    return {"three_channels_us": colour, "one_channel_us": grey, "ratio": colour / grey}


def compare_log_prob(model: GatedPixelCNN, batch: int, size: int) -> dict[str, Any]:
    variables, key, shape = new_variables(model), jax.random.key(0), (batch, size, size)
    images, log_probs = sample_and_log_prob(model, variables, key, shape=shape)
    drawn: dict[str, Callable[[], Any]] = {
        "sample_s": partial(sample, model, variables, key, shape=shape),
        "sample_and_log_prob_s": partial(sample_and_log_prob, model, variables, key, shape=shape),
        "log_prob_s": partial(log_prob, model, variables, images),
    }
    row = {"batch": batch, **fastest(drawn, rounds=5)}
    row["same_images"] = bool((images == drawn["sample_s"]()).all())
    return row | {"nats_off": float(jnp.max(jnp.abs(log_probs - drawn["log_prob_s"]())))}


def seconds_of_products(model: GatedPixelCNN, pixels: int) -> float:
    """Times, for each pixel, products with as many weights as the horizontal stack and the 1x1 convolutions have."""
    n, keys = model.features, jax.random.split(jax.random.key(0), model.layers + 1)
    weights = [jax.random.normal(key, (n, 5 * n)) for key in keys]  # a layer has 4 n^2 before its gate and n^2 after

    @jax.jit
    def of_image(weights: list[jax.Array], x: jax.Array) -> jax.Array:
        def of_pixel(_: int, x: jax.Array) -> jax.Array:
            for kernel in weights:
                x = jnp.tanh((x @ kernel).reshape(5, n).mean(0))
            return x

        return jax.lax.fori_loop(0, pixels, of_pixel, x)

    return seconds(lambda: of_image(weights, jnp.ones(n)))


@click.command(cls=UserCommand, help=__doc__)
@click.option("--batch", multiple=True, type=int, default=(1, 16, 64), show_default=True, help="Batch of network R.")
@click.option("--cifar10", "with_cifar10", is_flag=True, help="Time the network of configs/cifar10_full.py too.")
def main(batch: tuple[int, ...], with_cifar10: bool) -> None:
    use_all_cores()
    networks: list[tuple[str, GatedPixelCNN, int, tuple[int, ...]]] = [("R", R, 28, batch)]
    if with_cifar10:
        fields = {name: x for name, x in cifar10_full.get_config().model.items() if name != "network"}
        networks.append(("cifar10", GatedPixelCNN(levels=256, channels=3, **fields), 32, (16,)))
    result: dict[str, Any] = {"benchmark": "sampling", "device": jax.devices()[0].device_kind}

    print("network  batch  forward s   cached s  naive s (scaled)  naive/cached  cached/forward")
    for label, model, size, batches in networks:
        for n in batches:
            row = compare(model, n, size)
            result.setdefault(label, []).append(row)
            forward, cached, naive, gain, cost = list(row.values())[1:]
            print(f"{label:8} {n:5} {forward:10.4f} {cached:10.4f} {naive:17.1f} {gain:13.0f} {cost:15.2f}", flush=True)

    print("\nnetwork  3 channels, us per pixel  1 channel  ratio")
    for label, model, size, _ in networks:
        row = result[f"{label}_colour"] = compare_colours(model, size)
        print(f"{label:8} {row['three_channels_us']:25.2f} {row['one_channel_us']:10.2f} {row['ratio']:6.2f}")

    print("\nbatch of R  sample s  sample_and_log_prob s  log_prob s  same images  nats off")
    result["log_prob"] = [compare_log_prob(R, count, 28) for count in batch]
    for row in result["log_prob"]:
        times = f"{row['sample_s']:9.4f} {row['sample_and_log_prob_s']:22.4f} {row['log_prob_s']:11.4f}"
        print(f"{row['batch']:10} {times}  {row['same_images']!s:>11} {row['nats_off']:9.1g}")
    result["products_s"] = seconds_of_products(R, 28 * 28)
    print(f"\nproducts with the weights that the pixels of an image of R read: {result['products_s']:.4f} s")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
