"""p(spins | beta) of the periodic square-lattice Ising model, learned without data (Wu, Wang, Zhang 2019).

Minimises the variational free energy E[log q + beta E] over samples of the network itself, by REINFORCE: the gradient
of log q is weighted by how much a sample exceeds the mean of the others at its beta. q is normalised and its samples
are independent, so that the mean bounds the free energy, and importance weights give it up to the noise of the samples.

Three things that are known exactly are not learned:

- The odd sites given the even ones. They are summed in closed form (``shared.checkerboard``), and the network models
  half of the lattice.
- p(x) = p(-x). The network draws configurations whose first spin is up, and a coin turns all spins.
- beta is the network's condition h: one network for all temperatures.

The loop is its own: the shared one is built around images, their batches, splits and scores.

python -m experiments.beyond.ising --size=16 --layers=6 -o runs/ising_16
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Key

from experiments.shared.checkerboard import Betas, Even, energy, lattice, log_weight
from experiments.shared.exact_ising import CRITICAL, log_partition, mean_energy
from pixelcnn_jax import GatedPixelCNN, load_pretrained, nats, sample_and_log_prob
from pixelcnn_jax.cli.options import PATH, UserCommand
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.inputs import ImageSpec, Variables
from pixelcnn_jax.pretrained import save_pretrained
from pixelcnn_jax.training.optimizer import OptimizerConfig, make_optimizer
from pixelcnn_jax.training.progress import progress_bar

HIGHEST = 0.6  # beta, of training
Sampler = Callable[..., tuple[Int[Array, "batch size half 1"], Float[Array, " batch"]]]


def make_network(*, size: int, layers: int, features: int) -> GatedPixelCNN:
    """Returns a network whose last site sees the first: the strict layer reaches as far as the others leave to reach.

    Raises:
      InputError: unless the size is even.
    """
    if size < 2 or size % 2:
        raise InputError(f"size must be even and at least 2, got {size}: odd lattices have no checkerboard.")
    reach = max(1, size - 1 - layers)
    return GatedPixelCNN(levels=2, features=features, layers=layers, first_kernel_size=2 * reach + 1)


def condition(beta: Betas) -> Float[Array, "batch 3"]:
    """Returns h: the distance from the critical beta, at three scales."""
    distance = beta / CRITICAL - 1
    return jnp.stack([4 * distance, jnp.tanh(10 * distance), jnp.exp(-((8 * distance) ** 2))], axis=1)


def new_variables(network: GatedPixelCNN, key: Key[Array, ""]) -> Variables:
    """Returns fresh variables. They fit lattices of any size."""
    return network.init(key, jnp.zeros((1, 2, 1, 1), jnp.int32), condition(jnp.ones(1)))


def is_first(size: int) -> np.ndarray:
    """Returns a mask that is true at the first spin, whose sign the symmetry decides."""
    return (np.arange(size * (size // 2)) == 0).reshape(1, size, size // 2, 1)


def draw(
    network: GatedPixelCNN,
    variables: Variables,
    key: Key[Array, ""],
    beta: Betas,
    *,
    size: int,
    sampler: Sampler = sample_and_log_prob,
) -> tuple[Even, Float[Array, " batch"]]:
    """Draws the even sites of a lattice for each beta, and returns them with log q in nats."""
    shape = (len(beta), size, size // 2)
    of_coins, of_spins = jax.random.split(key)
    up, heads = jnp.ones((*shape, 1), jnp.int32), jax.random.bernoulli(of_coins, shape=(len(beta), 1, 1, 1))
    even, log_q = sampler(network, variables, of_spins, shape=shape, h=condition(beta), given=up, mask=is_first(size))
    return jnp.where(heads, even, 1 - even), log_q - jnp.log(2)


def log_prob(network: GatedPixelCNN, variables: Variables, even: Even, beta: Betas) -> Float[Array, " batch"]:
    """Returns log q of the even sites in nats: the same for a configuration and its negative."""
    turned = jnp.where(even[:, :1, :1] == 1, even, 1 - even)
    counted = ~is_first(even.shape[1])
    return -nats(network, variables, turned, h=condition(beta), counted=counted) - jnp.log(2)


class Recipe(NamedTuple):
    """How to train: the settings of the published figures.

    Attributes:
      steps: number of training steps.
      temperatures: values of beta in a step, a quarter of them critical.
      samples: configurations drawn at each.
      learning_rate: peak of a cosine schedule, of Muon.
      ema_decay: decay of the average of the parameters, which is what training returns.
    """

    steps: int = 500
    temperatures: int = 8
    samples: int = 32
    learning_rate: float = 1e-2
    ema_decay: float = 0.99


class State(NamedTuple):
    """All that a training step depends on, besides the key."""

    variables: Variables
    average: Variables
    optimizer: Any


def betas(key: Key[Array, ""], step: Int[Array, ""] | int, recipe: Recipe) -> Float[Array, " temperatures"]:
    """Returns the values of beta of a step: up to a highest one that grows during the first half of training."""
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
    """Returns an unbiased gradient of the mean over beta of E[log q - log weight], and those differences in nats."""
    each = jnp.repeat(beta, samples)
    even, log_q = draw(network, variables, key, each, size=size, sampler=sampler)
    excess = (log_q - log_weight(even, each)).reshape(-1, samples)
    # The mean of the other samples is a baseline that does not depend on the sample itself.
    advantage = (excess - excess.mean(axis=1, keepdims=True)) * samples / (samples - 1)

    def surrogate(variables: Variables, part: tuple[Array, ...]) -> Float[Array, ""]:
        even, beta, advantage = part
        return jnp.sum(advantage * log_prob(network, variables, even, beta)) / len(each)

    def add(total: Variables, part: tuple[Array, ...]) -> tuple[Variables, None]:
        return jax.tree.map(jnp.add, total, jax.grad(surrogate)(variables, part)), None

    # One beta after the other: what a gradient keeps of so few images stays in a CPU's cache.
    parts = jax.tree.map(lambda x: x.reshape(-1, samples, *x.shape[1:]), (even, each, advantage.reshape(-1)))
    return jax.lax.scan(add, jax.tree.map(jnp.zeros_like, variables), parts)[0], excess


def make_step(
    network: GatedPixelCNN, recipe: Recipe, *, size: int, sampler: Sampler = sample_and_log_prob
) -> tuple[Callable[[Variables], State], Callable[..., tuple[State, Float[Array, ""]]]]:
    """Returns the function from variables to the state before training, and the jitted step."""
    settings = OptimizerConfig(name="muon", learning_rate=recipe.learning_rate, warmup_steps=min(50, recipe.steps // 4))
    optimizer = make_optimizer(settings, steps=recipe.steps)

    def start(variables: Variables) -> State:
        return State(variables, variables, optimizer.init(variables))

    @jax.jit
    def one_step(state: State, key: Key[Array, ""], step: Int[Array, ""]) -> tuple[State, Float[Array, ""]]:
        """Returns the next state, and the standard deviation of log q - log weight at the critical beta or below."""
        of_betas, of_draws = jax.random.split(jax.random.fold_in(key, step))
        beta = betas(of_betas, step, recipe)
        found, excess = gradient(
            network, state.variables, of_draws, beta, size=size, samples=recipe.samples, sampler=sampler
        )
        updates, optimizer_state = optimizer.update(found, state.optimizer, state.variables)
        variables = optax.apply_updates(state.variables, updates)
        decay = jnp.minimum(recipe.ema_decay, (1 + step) / (10 + step))
        average = jax.tree.map(lambda old, new: old + (1 - decay) * (new - old), state.average, variables)
        return State(variables, average, optimizer_state), excess[0].std()

    return start, one_step


def train(network: GatedPixelCNN, variables: Variables, key: Key[Array, ""], *, size: int, recipe: Recipe) -> Variables:
    """Trains from given variables, fresh or those of a lattice of another size; returns the average of the last."""
    start, one_step = make_step(network, recipe, size=size)
    state = start(variables)
    bar = progress_bar(range(recipe.steps), "training", unit="step")
    for step in bar:
        state, deviation = one_step(state, key, step)
        if (step + 1) % 50 == 0:
            bar.set_postfix({"deviation of log weights": f"{float(deviation):.3f}"})
    return state.average


class Estimates(NamedTuple):
    """Estimates at one beta from independent samples of q.

    Attributes:
      variational: mean of log weight - log q, in nats: at most log Z, so that it bounds the free energy from above.
      importance_weighted: log of the mean of weight / q, in nats: log Z, up to the noise of the samples.
      effective_sample_size: (sum w)^2 / sum w^2 of the importance weights, as a share of the samples.
      energy: importance-weighted mean energy per site.
      magnetisation: importance-weighted mean of |sum of spins| per site.
    """

    variational: float
    importance_weighted: float
    effective_sample_size: float
    energy: float
    magnetisation: float


def estimate(
    network: GatedPixelCNN,
    variables: Variables,
    key: Key[Array, ""],
    beta: float,
    *,
    size: int,
    samples: int = 100_000,
    batch: int = 1000,
) -> Estimates:
    """Draws fresh samples at one beta and returns the estimates. Takes at least one batch."""

    each, numbers = jnp.full(batch, beta), range(-(-samples // batch))
    parts = [_measure(network, variables, jax.random.fold_in(key, number), each, size=size) for number in numbers]
    log_w, energies, magnetisations = np.concatenate(np.asarray(parts, np.float64), axis=1)[:, :samples]
    w = np.exp(log_w - log_w.max())
    return Estimates(
        variational=log_w.mean(),
        importance_weighted=log_w.max() + np.log(w.mean()),
        effective_sample_size=w.sum() ** 2 / (w**2).sum() / len(w),
        energy=np.average(energies, weights=w),
        magnetisation=np.average(magnetisations, weights=w),
    )


@partial(jax.jit, static_argnames=("network", "size"))
def _measure(
    network: GatedPixelCNN, variables: Variables, key: Key[Array, ""], beta: Betas, *, size: int
) -> tuple[Float[Array, " batch"], ...]:
    """Returns log weight - log q, the energy and the magnetisation per site of one sample for each beta."""
    of_even, of_odd = jax.random.split(key)
    even, log_q = draw(network, variables, of_even, beta, size=size)
    magnetisation = jnp.abs(jnp.mean(lattice(of_odd, even, beta), axis=(1, 2)))
    return log_weight(even, beta) - log_q, energy(even, beta) / size**2, magnetisation


def figures(found: Estimates, beta: float, *, size: int) -> dict[str, float]:
    """Returns the estimates with the exact values and the relative errors of the free energy."""
    exact = log_partition(beta, size=size)
    return {
        "beta": beta,
        **found._asdict(),
        "exact": exact,
        "exact_energy": mean_energy(beta, size=size) / size**2,
        "relative_error_variational": (exact - found.variational) / exact,
        "relative_error_importance_weighted": (exact - found.importance_weighted) / exact,
    }


@click.command(cls=UserCommand, help=__doc__)
@click.option("--size", default=8, show_default=True, help="Rows and columns of the lattice.")
@click.option("--layers", default=4, show_default=True, help="Layers of the network.")
@click.option("--features", default=24, show_default=True, help="Feature maps of the network.")
@click.option(
    "--steps",
    type=click.IntRange(min=0),
    default=Recipe().steps,
    show_default=True,
    help="Training steps; 0 with --start-from.",
)
@click.option(
    "--samples",
    type=click.IntRange(min=2),
    default=Recipe().samples,
    help="Samples of a step at each of 8 betas. [default: 32]",
)
@click.option("--seed", default=0, show_default=True, help="Of parameters and samples.")
@click.option(
    "--beta", default=[CRITICAL], multiple=True, help="Where to evaluate; may be repeated. [default: critical]"
)
@click.option(
    "--evaluated",
    type=click.IntRange(min=1),
    default=100_000,
    show_default=True,
    help="Fresh samples of an evaluation.",
)
@click.option("--start-from", type=PATH, help="Folder of an earlier run whose variables to start from.")
@click.option("-o", "--output", type=PATH, help="Folder for the trained model.")
def main(
    size: int,
    layers: int,
    features: int,
    steps: int,
    samples: int,
    seed: int,
    beta: tuple[float, ...],
    evaluated: int,
    start_from: Path | None,
    output: Path | None,
) -> None:
    """Trains, evaluates, and prints the figures as JSON."""
    of_init, of_steps, of_evaluation = jax.random.split(jax.random.key(seed), 3)
    for one in beta:
        log_partition(one, size=size)  # refuses a wrong one before training
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
    network = make_network(size=size, layers=layers, features=features)
    variables = new_variables(network, of_init)
    if start_from is not None:
        network, variables, _ = load_pretrained(start_from)
    if steps:
        variables = train(network, variables, of_steps, size=size, recipe=Recipe(steps=steps, samples=samples))
    found = [
        figures(estimate(network, variables, of_evaluation, one, size=size, samples=evaluated), one, size=size)
        for one in beta
    ]
    result = {"experiment": "ising", "size": size, "seed": seed, "steps": steps, "samples": samples, "figures": found}
    if output is not None:
        spec = ImageSpec(size, size // 2, 1, 2)
        save_pretrained(output, network, variables, result | {"image_spec": spec, "score_of": "p(even spins|beta)"})
    print(json.dumps(result))


if __name__ == "__main__":
    main()
