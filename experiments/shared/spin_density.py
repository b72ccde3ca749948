"""q(spins | beta) by a Gated PixelCNN, and estimates from its samples.

- The odd sites are summed in closed form; the network models the even ones.
- p(x) = p(-x): the first spin is drawn up, then a coin flips all spins.
- beta is the condition h: one network for all temperatures.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from experiments.shared.ising_lattice import CRITICAL, Betas, Even, energy, lattice, log_weight
from pixelcnn_jax import GatedPixelCNN, nats, sample_and_log_prob
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.inputs import Variables

Sampler = Callable[..., tuple[Int[Array, "batch size half 1"], Float[Array, " batch"]]]


def make_network(*, size: int, layers: int, features: int) -> GatedPixelCNN:
    """Builds a network that sees the first site from the last, for an even size."""
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
    """Draws the even sites of a lattice per beta, with log q in nats."""
    shape = (len(beta), size, size // 2)
    of_coins, of_spins = jax.random.split(key)
    up, heads = jnp.ones((*shape, 1), jnp.int32), jax.random.bernoulli(of_coins, shape=(len(beta), 1, 1, 1))
    even, log_q = sampler(
        network, variables, of_spins, shape=shape, h=condition(beta), observed=up, mask=first_site(size)
    )
    return jnp.where(heads, even, 1 - even), log_q - jnp.log(2)


def log_prob(network: GatedPixelCNN, variables: Variables, even: Even, beta: Betas) -> Float[Array, " batch"]:
    """Computes log q of the even sites in nats, invariant to a flip of all."""
    turned = jnp.where(even[:, :1, :1] == 1, even, 1 - even)
    counted = ~first_site(even.shape[1])
    return -nats(network, variables, turned, h=condition(beta), mask=counted) - jnp.log(2)


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
    network: GatedPixelCNN,
    variables: Variables,
    key: Key[Array, ""],
    beta: float,
    *,
    size: int,
    samples: int = 100_000,
    batch: int = 1000,
) -> Estimates:
    """Computes the estimates at one beta from fresh samples."""

    each, numbers = jnp.full(batch, beta), range(-(-samples // batch))
    parts = [_measure(network, variables, jax.random.fold_in(key, number), each, size=size) for number in numbers]
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


@partial(jax.jit, static_argnames=("network", "size"))
def _measure(
    network: GatedPixelCNN, variables: Variables, key: Key[Array, ""], beta: Betas, *, size: int
) -> tuple[Float[Array, " batch"], ...]:
    of_even, of_odd = jax.random.split(key)
    even, log_q = draw(network, variables, of_even, beta, size=size)
    magnetisation = jnp.abs(jnp.mean(lattice(of_odd, even, beta), axis=(1, 2)))
    return log_weight(even, beta) - log_q, energy(even, beta) / size**2, magnetisation
