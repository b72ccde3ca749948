"""p(spins|beta) of the periodic Ising model, without data (Wu, Wang, Zhang 2019).

Minimises the variational free energy E[log q + beta E] by REINFORCE, with the mean of the other samples as baseline.

python -m experiments.extensions.ising --size=16 --layers=6 -o runs/ising_16
"""

from pixelcnn_jax.foundation.interruption import end_in_one_line

if __name__ == "__main__":  # before JAX is imported
    end_in_one_line("Interrupted.")

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from experiments.extensions import ising_lattice
from experiments.extensions.ising_lattice import CRITICAL, Betas, Even, log_weight
from pixelcnn_jax import GatedPixelCNN, InputError, load_pretrained, nll, sample_and_log_prob, save_pretrained
from pixelcnn_jax.foundation.progress import progress_bar
from pixelcnn_jax.foundation.user_command import UserCommand, path
from pixelcnn_jax.models.inputs import ImageSpec, Variables
from pixelcnn_jax.training.experiment import Batch, Experiment, Params
from pixelcnn_jax.training.optimizer import OptimizerConfig, make_optimizer
from pixelcnn_jax.training.step import TrainState, init_state, train_step

HIGHEST = 0.6  # beta, of training
DRAWN_TOGETHER = 1000  # samples of an estimate
BETA = click.FloatRange(1e-3, 20)  # the exact figures of others overflow


def make_network(*, size: int, layers: int, features: int) -> GatedPixelCNN:
    """Builds the network of the even sites, which sees the first site from the last; ``size`` is even.

    The odd sites are summed in closed form. As p(x) = p(-x), the first spin is drawn up, then a coin flips all spins.
    """
    check_size(size)
    reach = max(1, size - 1 - layers)
    return GatedPixelCNN(levels=2, features=features, layers=layers, first_kernel_size=2 * reach + 1)


def check_size(size: int) -> None:
    """Raises InputError unless the lattice size is even."""
    if size < 2 or size % 2:
        raise InputError(f"size must be even and at least 2, got {size}: odd lattices have no checkerboard.")


def condition(beta: Betas) -> Float[Array, "batch 3"]:
    """Encodes beta as h: distance from the critical beta, at three scales."""
    distance = beta / CRITICAL - 1
    return jnp.stack([4 * distance, jnp.tanh(10 * distance), jnp.exp(-((8 * distance) ** 2))], axis=1)


def new_variables(network: GatedPixelCNN, key: Key[Array, ""]) -> Variables:
    """Initialises variables, for lattices of any size."""
    return network.init(key, jnp.zeros((1, 2, 1, 1), jnp.int32), condition(jnp.ones(1)))


def first_site(size: int) -> np.ndarray:
    """Masks the first spin, whose sign the symmetry decides."""
    check_size(size)
    return (np.arange(size * (size // 2)) == 0).reshape(1, size, size // 2, 1)


def draw(
    network: GatedPixelCNN, variables: Variables, key: Key[Array, ""], beta: Betas, *, size: int
) -> tuple[Even, Float[Array, " batch"]]:
    """Draws the even sites of a lattice per beta, with log q in nats."""
    shape = (len(beta), size, size // 2)
    of_coins, of_spins = jax.random.split(key)
    up, heads = jnp.ones((*shape, 1), jnp.int32), jax.random.bernoulli(of_coins, shape=(len(beta), 1, 1, 1))
    even, log_q = sample_and_log_prob(
        network, variables, of_spins, shape=shape, h=condition(beta), observed=up, mask=first_site(size)
    )
    return jnp.where(heads, even, 1 - even), log_q - jnp.log(2)


def log_prob(network: GatedPixelCNN, variables: Variables, even: Even, beta: Betas) -> Float[Array, " batch"]:
    """Computes log q of the even sites in nats, invariant to a flip of all."""
    turned = jnp.where(even[:, :1, :1] == 1, even, 1 - even)
    return -nll(network, variables, turned, h=condition(beta), mask=~first_site(even.shape[1])) - jnp.log(2)


class Settings(NamedTuple):
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


def betas(key: Key[Array, ""], step: Int[Array, ""] | int, settings: Settings) -> Float[Array, " temperatures"]:
    """Draws the values of beta, below a maximum that grows over half the training."""
    top = HIGHEST * jnp.minimum(1.0, 0.3 + 1.4 * step / settings.steps)
    critical = settings.temperatures // 4
    strata = settings.temperatures - critical
    stratified = top * (jnp.arange(strata) + jax.random.uniform(key, (strata,))) / strata
    return jnp.concatenate([jnp.full(critical, jnp.minimum(CRITICAL, top)), stratified])


def draw_batch(
    network: GatedPixelCNN, variables: Variables, key: Key[Array, ""], beta: Betas, *, size: int, samples: int
) -> tuple[Batch, Float[Array, "temperatures samples"]]:
    """Draws the batch of a step.

    Returns:
      The batch of ``experiment_of``, and log q - log weight per sample.
    """
    beta_batch = jnp.repeat(beta, samples)
    even, log_q = draw(network, variables, key, beta_batch, size=size)
    excess = (log_q - log_weight(even, beta_batch)).reshape(-1, samples)
    # The leave-one-out mean as baseline keeps the gradient unbiased.
    advantage = (excess - excess.mean(axis=1, keepdims=True)) * samples / (samples - 1)
    return {"even": even, "beta": beta_batch, "advantage": advantage.reshape(-1)}, excess


def experiment_of(network: GatedPixelCNN, variables: Variables) -> Experiment:
    """Builds the task of a step: the gradient of its loss is that of the mean over beta of E[log q - log weight]."""

    def loss(params: Params, batch: Batch, key: Key[Array, ""] | None) -> Float[Array, " batch"]:
        return batch["advantage"] * log_prob(network, params, batch["even"], batch["beta"])

    return Experiment(lambda key: variables, loss, lambda params, key, source: source, network)


def make_step(
    network: GatedPixelCNN, variables: Variables, settings: Settings, *, size: int
) -> tuple[TrainState, Callable[..., tuple[TrainState, Float[Array, ""]]]]:
    """Builds the first state and the jitted step, which also measures the deviation of the log weights."""
    warmup = min(50, settings.steps // 4)
    config = OptimizerConfig(name="muon", learning_rate=settings.learning_rate, warmup_steps=warmup)
    optimizer = make_optimizer(config, network, steps=settings.steps)
    experiment = experiment_of(network, variables)

    @jax.jit
    def one_step(state: TrainState, key: Key[Array, ""]) -> tuple[TrainState, Float[Array, ""]]:
        of_betas, of_draws = jax.random.split(jax.random.fold_in(key, state.step))
        beta = betas(of_betas, state.step, settings)
        batch, excess = draw_batch(network, state.params, of_draws, beta, size=size, samples=settings.samples)
        options = {"experiment": experiment, "optimizer": optimizer, "ema_decay": settings.ema_decay}
        # One beta at a time: the activations fit a CPU's cache.
        return train_step(state, batch, key, **options, microbatch_size=settings.samples)[0], excess[0].std()

    return init_state(experiment, optimizer, jax.random.key(0)), one_step


def train(
    network: GatedPixelCNN, variables: Variables, key: Key[Array, ""], *, size: int, settings: Settings
) -> Variables:
    """Trains from given variables, of a lattice of any size; returns the EMA."""
    state, one_step = make_step(network, variables, settings, size=size)
    bar = progress_bar(range(settings.steps), "training", unit="step")
    for step in bar:
        state, deviation = one_step(state, key)
        if (step + 1) % 50 == 0:
            bar.set_postfix({"deviation of log weights": f"{float(deviation):.3f}"})
    return state.ema


class Estimates(NamedTuple):
    """Estimates at one beta from independent samples of q.

    Attributes:
      variational: mean of log weight - log q, in nats: a lower bound of log Z.
      variational_error: its standard error.
      importance_weighted: log of the mean of weight / q, in nats: estimates log Z.
      importance_weighted_error: its standard error, meaningless at an effective sample size of a few.
      effective_sample_size: of the importance weights, as a fraction of the samples.
      energy: importance-weighted energy per site.
      magnetisation: importance-weighted mean absolute magnetisation per site.
    """

    variational: float
    variational_error: float
    importance_weighted: float
    importance_weighted_error: float
    effective_sample_size: float
    energy: float
    magnetisation: float


def estimate(
    network: GatedPixelCNN, variables: Variables, key: Key[Array, ""], beta: float, *, size: int, samples: int = 100_000
) -> Estimates:
    """Computes the estimates at one beta from fresh samples."""
    beta_batch, numbers = jnp.full(DRAWN_TOGETHER, beta), range(-(-samples // DRAWN_TOGETHER))
    parts = [_measure(network, variables, jax.random.fold_in(key, number), beta_batch, size=size) for number in numbers]
    log_w, energies, magnetisations = np.concatenate(np.asarray(parts, np.float64), axis=1)[:, :samples]
    w = np.exp(log_w - log_w.max())
    return Estimates(
        variational=log_w.mean(),
        variational_error=log_w.std() / np.sqrt(len(w)),
        importance_weighted=log_w.max() + np.log(w.mean()),
        importance_weighted_error=w.std() / w.mean() / np.sqrt(len(w)),
        effective_sample_size=w.sum() ** 2 / (w**2).sum() / len(w),
        energy=np.average(energies, weights=w),
        magnetisation=np.average(magnetisations, weights=w),
    )


@jax.jit(static_argnames=("network", "size"))
def _measure(
    network: GatedPixelCNN, variables: Variables, key: Key[Array, ""], beta: Betas, *, size: int
) -> tuple[Float[Array, " batch"], ...]:
    of_even, of_odd = jax.random.split(key)
    even, log_q = draw(network, variables, of_even, beta, size=size)
    magnetisation = jnp.abs(jnp.mean(ising_lattice.lattice(of_odd, even, beta), axis=(1, 2)))
    return log_weight(even, beta) - log_q, ising_lattice.energy(even, beta) / size**2, magnetisation


def figures(outcome: Estimates, beta: float, *, size: int) -> dict[str, float]:
    """Compares the estimates with the exact free energy and energy."""
    exact = ising_lattice.log_partition(beta, size=size)
    return {
        "beta": beta,
        "free_energy": -outcome.importance_weighted / beta / size**2,
        "free_energy_error": outcome.importance_weighted_error / beta / size**2,
        **outcome._asdict(),
        "exact": exact,
        "exact_energy": ising_lattice.mean_energy(beta, size=size) / size**2,
        "relative_error_variational": (exact - outcome.variational) / exact,
        "relative_error_importance_weighted": (exact - outcome.importance_weighted) / exact,
    }


@click.command(cls=UserCommand, help=__doc__, context_settings={"show_default": True})
@click.option("--size", type=int, help="Lattice size. [default: that of --start-from, or 8]")
@click.option("--layers", default=4, help="Number of layers.")
@click.option("--features", default=24, help="Hidden channels.")
@click.option("--samples", type=click.IntRange(2), default=32, help="Samples per beta and step.")
@click.option(
    "--steps", type=click.IntRange(0), default=Settings().steps, help="Training steps; 0 only evaluates --start-from."
)
@click.option("--seed", default=0, help="Random seed.")
@click.option("--beta", type=BETA, default=[CRITICAL], multiple=True, show_default="critical", help="To evaluate.")
@click.option("--evaluated", type=click.IntRange(2), default=100_000, help="Samples per evaluation.")
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
    if output is not None:
        if (output / "model.json").exists():
            raise click.ClickException(f"{output} already contains a model: choose a different folder for --output.")
        output.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=output).close()  # raises an error if nothing can be written, before the training
    if steps:
        variables = train(network, variables, of_steps, size=size, settings=Settings(steps=steps, samples=samples))
    settings = {"steps": steps, "samples_of_a_step": samples * Settings().temperatures, "evaluated": evaluated}
    result: dict[str, Any] = {"experiment": "ising", "size": size, "seed": seed, **settings}
    facts = {"image_spec": ImageSpec(size, size // 2, 1, 2), "density": "p(even spins|beta)"}
    if output is not None:  # before the evaluation, which may be stopped
        save_pretrained(output, network, variables, result | facts)
    result["figures"] = [
        figures(estimate(network, variables, key, x, size=size, samples=evaluated), x, size=size)
        for x, key in zip(beta, jax.random.split(of_evaluation, len(beta)), strict=True)
    ]
    if output is not None:
        save_pretrained(output, network, variables, result | facts)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
