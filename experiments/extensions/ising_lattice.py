"""The periodic square-lattice Ising model: exact solution (float64), checkerboard.

Units: J = 1, inverse temperature beta, energies of the whole lattice. With size 2, two spins share two bonds.

Odd sites are independent given the size x size/2 even ones, a twisted torus in u = (row + column) / 2 and
v = (row - column) / 2: after the last v comes the first, u shifted by half.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

CRITICAL = math.log(1 + math.sqrt(2)) / 2  # beta at the phase transition of the infinite lattice (Onsager 1944)
STEP = 1e-5  # of beta; truncation and rounding errors are both near 1e-8 of the energy

Even = Int[Array, "batch size half 1"]  # even sites as images: 0 is down, 1 up
Betas = Float[Array, " batch"]


def log_partition(beta: float, *, size: int) -> float:
    """Computes log Z in nats (Kaufman 1949, Phys. Rev. 76, 1232), for beta > 0."""
    angles = np.pi * np.arange(2 * size) / size
    gamma = np.arccosh(np.maximum(1, np.cosh(2 * beta) / np.tanh(2 * beta) - np.cos(angles)))
    gamma[0] = 2 * beta + np.log(np.tanh(beta))  # negative above the critical temperature

    def two_products(gamma: np.ndarray) -> float:  # the log of prod 2 cosh(size gamma / 2) + prod 2 sinh(...)
        decays, signs = np.exp(-size * np.abs(gamma)), np.sign(gamma)
        return float(size * np.abs(gamma).sum() / 2 + np.log(np.prod(1 + decays) + np.prod(signs * (1 - decays))))

    sums = np.logaddexp(two_products(gamma[1::2]), two_products(gamma[::2]))
    return float(size**2 / 2 * np.log(2 * np.sinh(2 * beta)) - np.log(2) + sums)


def mean_energy(beta: float, *, size: int) -> float:
    """Computes -d log Z / d beta by central differences."""
    return (log_partition(beta - STEP, size=size) - log_partition(beta + STEP, size=size)) / (2 * STEP)


def fields(even: Even) -> Float[Array, "batch size half"]:
    """Sums the four even spins around each odd site."""
    spins = 2.0 * even[..., 0] - 1
    twisted = jnp.roll(spins[:, :, :1], spins.shape[1] // 2, axis=1)
    pairs = spins + jnp.concatenate([spins[:, :, 1:], twisted], axis=2)
    return pairs + jnp.roll(pairs, -1, axis=1)


def log_weight(even: Even, beta: Betas) -> Float[Array, " batch"]:
    """Computes the log of the sum of exp(-beta E) over the odd sites."""
    x = beta[:, None, None] * fields(even)
    return jnp.sum(jnp.logaddexp(x, -x), axis=(1, 2))


def energy(even: Even, beta: Betas) -> Float[Array, " batch"]:
    """Computes the mean energy given the even sites."""
    field = fields(even)
    return -jnp.sum(field * jnp.tanh(beta[:, None, None] * field), axis=(1, 2))


def lattice(key: Key[Array, ""], even: Even, beta: Betas) -> Int[Array, "batch size size"]:
    """Draws the odd sites given the even ones; all spins are -1 or 1."""
    odd = jax.random.bernoulli(key, jax.nn.sigmoid(2 * beta[:, None, None] * fields(even)))
    size = even.shape[1]
    u, v = np.indices(even.shape[1:3])
    rows, columns = (u + v) % size, (u - v) % size
    spins = jnp.zeros((len(even), size, size), jnp.int32)
    spins = spins.at[:, rows, columns].set(2 * even[..., 0] - 1)
    return spins.at[:, (rows + 1) % size, columns].set(2 * odd.astype(jnp.int32) - 1)
