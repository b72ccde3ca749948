"""CPU time of an Ising training step by cached and naive sampling, and a picture.

python -m benchmarks.ising [MODEL -o docs/pictures/ising.png]

MODEL is the folder of a run of experiments.extensions.ising.
"""

import json
import time
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest import mock

import click
import jax
import jax.numpy as jnp
import numpy as np

from experiments.extensions import ising
from experiments.extensions.ising import draw, estimate, make_network, new_variables
from experiments.extensions.ising_lattice import CRITICAL, lattice, mean_energy
from pixelcnn_jax import load_pretrained, naive_sample, nll, sample_and_log_prob
from pixelcnn_jax.foundation.files import atomic_write
from pixelcnn_jax.foundation.user_command import UserCommand, path

LAYERS = {8: 4, 16: 6}  # of the published runs, by the size of the lattice
SHOWN = (1.7, 2.1, 1 / CRITICAL, 2.6, 3.5)  # temperatures
SAMPLES = 2000  # at each temperature of the curves


def naive(network: Any, variables: Any, key: Any, *, h: Any, mask: Any, **options: Any) -> Any:
    images = naive_sample(network, variables, key, h=h, mask=mask, **options)
    return images, -nll(network, variables, images, h=h, mask=~mask)


def step_seconds(size: int, sampler: Any, *, rounds: int = 3) -> float:
    network = make_network(size=size, layers=LAYERS[size], features=24)
    state, one_step = ising.make_step(network, new_variables(network, jax.random.key(0)), ising.Settings(), size=size)
    times = []
    with mock.patch.object(ising, "sample_and_log_prob", sampler):
        for _ in range(rounds + 1):  # the first compiles
            began = time.process_time()
            state, _ = jax.block_until_ready(one_step(state, jax.random.key(1)))
            times.append(time.process_time() - began)
    return min(times[1:])


def infinite_magnetisation(beta: float) -> float:
    """Computes the magnetisation per site of the infinite lattice (Yang 1952)."""
    return 0.0 if beta <= CRITICAL else float((1 - np.sinh(2 * beta) ** -4) ** (1 / 8))


def picture(name: Path) -> bytes:
    """Plots spins by temperature, and energy and magnetisation with exact curves."""
    from matplotlib.figure import Figure

    (network, variables, card), key = load_pretrained(name), jax.random.key(0)
    size = card["image_spec"].height
    temperatures = np.linspace(1.7, 4.5, 15)
    outcome = [estimate(network, variables, key, 1 / t, size=size, samples=SAMPLES) for t in temperatures]
    fine = np.linspace(1.7, 4.5, 200)
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1, 1.6))
    betas = 1 / jnp.asarray(SHOWN)
    even, _ = draw(network, variables, key, betas, size=size)
    spins = lattice(key, even, betas)
    for axes, image, temperature in zip(above.subplots(1, len(SHOWN)), spins, SHOWN, strict=True):
        axes.imshow(image, cmap="gray", vmin=-1, vmax=1)
        axes.set(xticks=[], yticks=[])
        axes.set_title(f"T = {temperature:.2f}", fontsize=10)
    left, right = below.subplots(1, 2)
    left.plot(fine, [mean_energy(1 / t, size=size) / size**2 for t in fine], "k", lw=1, label=f"exact, {size}x{size}")
    left.plot(temperatures, [x.energy for x in outcome], "o", ms=4, label="network")
    left.set(xlabel="temperature", ylabel="energy per site")
    right.plot(fine, [infinite_magnetisation(1 / t) for t in fine], "k", lw=1, label="exact, infinite lattice")
    right.plot(temperatures, [x.magnetisation for x in outcome], "o", ms=4, label=f"network, {size}x{size}")
    right.set(xlabel="temperature", ylabel="|magnetisation| per site")
    for axes in (left, right):
        axes.legend(frameon=False)
    file = BytesIO()
    figure.savefig(file, dpi=100)
    return file.getvalue()


@click.command(cls=UserCommand, help=__doc__)
@click.argument("model", type=path, required=False)
@click.option("-o", "--output", type=path, help="PNG to write.")
def main(model: Path | None, output: Path | None) -> None:
    if model is not None and output is not None:
        atomic_write(output, picture(model))
        return
    result = {}
    for size in LAYERS:
        cached, slow = step_seconds(size, sample_and_log_prob), step_seconds(size, naive, rounds=1)
        result[size] = {"cached_s": cached, "naive_s": slow, "naive_over_cached": slow / cached}
        print(f"{size}x{size}: {cached:.3f} s cached, {slow:.3f} s naive, {slow / cached:.1f} times", flush=True)
    print(json.dumps({"benchmark": "ising", "steps": result}))


if __name__ == "__main__":
    main()
