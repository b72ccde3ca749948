"""p(spins|beta) of the periodic Ising model, without data (Wu, Wang, Zhang 2019).

Minimises the variational free energy E[log q + beta E] by REINFORCE, with the mean of the other samples as baseline.

python -m experiments.beyond.ising --size=16 --layers=6 -o runs/ising_16
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from experiments.shared.ising_lattice import CRITICAL, log_partition, log_weight, mean_energy
from experiments.shared.spin_density import (
    Estimates,
    Sampler,
    check_size,
    draw,
    estimate,
    log_prob,
    make_network,
    new_variables,
)
from pixelcnn_jax import GatedPixelCNN, load_pretrained, sample_and_log_prob
from pixelcnn_jax.cli.options import UserCommand, path
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.foundation.progress import progress_bar
from pixelcnn_jax.models.inputs import ImageSpec, Variables
from pixelcnn_jax.pretrained import save_pretrained
from pixelcnn_jax.training.optimizer import OptimizerConfig, make_optimizer
from pixelcnn_jax.training.step import averaged

HIGHEST = 0.6  # beta, of training


class Recipe(NamedTuple):
    """Training settings, by default those of the published figures.

    Attributes:
      steps: number of training steps.
      temperatures: values of beta per step, a quarter of them critical.
      samples: configurations per beta.
      learning_rate: peak of Muon's cosine schedule.
      ema_decay: decay of the EMA parameters.
    """

    steps: int = 500
    temperatures: int = 8
    samples: int = 32
    learning_rate: float = 1e-2
    ema_decay: float = 0.99


class State(NamedTuple):
    """The train state."""

    variables: Variables
    average: Variables
    optimizer: Any


def betas(key: Key[Array, ""], step: Int[Array, ""] | int, recipe: Recipe) -> Float[Array, " temperatures"]:
    """Draws the values of beta, below a maximum that grows over half the training."""
    top = HIGHEST * jnp.minimum(1.0, 0.3 + 1.4 * step / recipe.steps)
    critical = recipe.temperatures // 4
    spread = recipe.temperatures - critical
    stratified = top * (jnp.arange(spread) + jax.random.uniform(key, (spread,))) / spread
    return jnp.concatenate([jnp.full(critical, jnp.minimum(CRITICAL, top)), stratified])


def gradient(
    network: GatedPixelCNN,
    variables: Variables,
    key: Key[Array, ""],
    beta: Float[Array, " temperatures"],
    *,
    size: int,
    samples: int,
    sampler: Sampler = sample_and_log_prob,
) -> tuple[Variables, Float[Array, "temperatures samples"]]:
    """Estimates the gradient of the mean over beta of E[log q - log weight].

    Returns:
      The unbiased gradient, and log q - log weight per sample.
    """
    each = jnp.repeat(beta, samples)
    even, log_q = draw(network, variables, key, each, size=size, sampler=sampler)
    excess = (log_q - log_weight(even, each)).reshape(-1, samples)
    # The leave-one-out mean as baseline keeps the gradient unbiased.
    advantage = (excess - excess.mean(axis=1, keepdims=True)) * samples / (samples - 1)

    def surrogate(variables: Variables, part: tuple[Array, ...]) -> Float[Array, ""]:
        even, beta, advantage = part
        return jnp.sum(advantage * log_prob(network, variables, even, beta)) / len(each)

    def add(total: Variables, part: tuple[Array, ...]) -> tuple[Variables, None]:
        return jax.tree.map(jnp.add, total, jax.grad(surrogate)(variables, part)), None

    # One beta at a time: the activations fit a CPU's cache.
    parts = jax.tree.map(lambda x: x.reshape(-1, samples, *x.shape[1:]), (even, each, advantage.reshape(-1)))
    return jax.lax.scan(add, jax.tree.map(jnp.zeros_like, variables), parts)[0], excess


def make_step(
    network: GatedPixelCNN, recipe: Recipe, *, size: int, sampler: Sampler = sample_and_log_prob
) -> tuple[Callable[[Variables], State], Callable[..., tuple[State, Float[Array, ""]]]]:
    """Builds the init of the train state and the jitted step."""
    settings = OptimizerConfig(name="muon", learning_rate=recipe.learning_rate, warmup_steps=min(50, recipe.steps // 4))
    optimizer = make_optimizer(settings, steps=recipe.steps)

    def start(variables: Variables) -> State:
        return State(variables, variables, optimizer.init(variables))

    @jax.jit
    def one_step(state: State, key: Key[Array, ""], step: Int[Array, ""]) -> tuple[State, Float[Array, ""]]:
        of_betas, of_draws = jax.random.split(jax.random.fold_in(key, step))
        beta = betas(of_betas, step, recipe)
        gradients, excess = gradient(
            network, state.variables, of_draws, beta, size=size, samples=recipe.samples, sampler=sampler
        )
        updates, optimizer_state = optimizer.update(gradients, state.optimizer, state.variables)
        variables = optax.apply_updates(state.variables, updates)
        average = averaged(state.average, variables, step, decay=recipe.ema_decay)
        return State(variables, average, optimizer_state), excess[0].std()

    return start, one_step


def train(network: GatedPixelCNN, variables: Variables, key: Key[Array, ""], *, size: int, recipe: Recipe) -> Variables:
    """Trains from given variables, of a lattice of any size; returns the EMA."""
    start, one_step = make_step(network, recipe, size=size)
    state = start(variables)
    bar = progress_bar(range(recipe.steps), "training", unit="step")
    for step in bar:
        state, deviation = one_step(state, key, step)
        if (step + 1) % 50 == 0:
            bar.set_postfix({"deviation of log weights": f"{float(deviation):.3f}"})
    return state.average


def figures(outcome: Estimates, beta: float, *, size: int) -> dict[str, float]:
    """Compares the estimates with the exact free energy and energy."""
    exact = log_partition(beta, size=size)
    return {
        "beta": beta,
        "free_energy": -outcome.importance_weighted / beta / size**2,
        "free_energy_error": outcome.importance_weighted_error / beta / size**2,
        **outcome._asdict(),
        "exact": exact,
        "exact_energy": mean_energy(beta, size=size) / size**2,
        "relative_error_variational": (exact - outcome.variational) / exact,
        "relative_error_importance_weighted": (exact - outcome.importance_weighted) / exact,
    }


@click.command(cls=UserCommand, help=__doc__)
@click.option("--size", type=int, help="Lattice size. [default: that of --start-from, or 8]")
@click.option("--layers", default=4, show_default=True, help="Number of layers.")
@click.option("--features", default=24, show_default=True, help="Hidden channels.")
@click.option("--samples", type=click.IntRange(2), default=32, show_default=True, help="Samples per beta and step.")
@click.option("--steps", default=Recipe().steps, show_default=True, help="Training steps; 0 with --start-from.")
@click.option("--seed", default=0, show_default=True, help="Random seed.")
@click.option("--beta", default=[CRITICAL], multiple=True, help="Betas to evaluate. [default: the critical one]")
@click.option("--evaluated", default=100_000, show_default=True, help="Samples per evaluation.")
@click.option("--start-from", type=path, help="Folder of a run for a warm start.")
@click.option("-o", "--output", type=path, help="Folder for the trained model.")
def main(
    size: int | None,
    layers: int,
    features: int,
    samples: int,
    steps: int,
    seed: int,
    beta: tuple[float, ...],
    evaluated: int,
    start_from: Path | None,
    output: Path | None,
) -> None:
    """Trains, evaluates, and prints the figures as JSON."""
    variables: Variables
    of_init, of_steps, of_evaluation = jax.random.split(jax.random.key(seed), 3)
    if start_from is not None:
        network, variables, card = load_pretrained(start_from)
        size = card["image_spec"].height if size is None else size
    else:
        size = 8 if size is None else size
        network = make_network(size=size, layers=layers, features=features)
        variables = new_variables(network, of_init)
    check_size(size)
    for one in beta:
        log_partition(one, size=size)  # validates beta before training
    if output is not None:
        if (output / "model.json").exists():
            raise InputError(f"{output} holds a model already: choose a different folder for --output.")
        output.mkdir(parents=True, exist_ok=True)
    if steps:
        variables = train(network, variables, of_steps, size=size, recipe=Recipe(steps=steps, samples=samples))
    outcome = [
        figures(estimate(network, variables, key, one, size=size, samples=evaluated), one, size=size)
        for one, key in zip(beta, jax.random.split(of_evaluation, len(beta)), strict=True)
    ]
    settings = {"steps": steps, "samples_of_a_step": samples * Recipe().temperatures, "evaluated": evaluated}
    result = {"experiment": "ising", "size": size, "seed": seed, **settings, "figures": outcome}
    if output is not None:
        spec = ImageSpec(size, size // 2, 1, 2)
        save_pretrained(output, network, variables, result | {"image_spec": spec, "density": "p(even spins|beta)"})
    print(json.dumps(result))


if __name__ == "__main__":
    main()
