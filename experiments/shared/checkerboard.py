"""The checkerboard of a periodic lattice of Ising spins, of which the odd sites are summed exactly.

The odd sites are independent given the even ones, so that a model needs to know the even sites alone, size x size/2 of
them. In coordinates turned by 45 degrees, u = (row + column) / 2 and v = (row - column) / 2, they form a torus with a
twist: after the last v comes the first, half of the u further. Each odd site lies in the middle of four even ones.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

Even = Int[Array, "batch size half 1"]  # the even sites as images: 0 is a spin down, 1 a spin up
Betas = Float[Array, " batch"]


def fields(even: Even) -> Float[Array, "batch size half"]:
    """Returns the sum of the four even spins around each odd site."""
    spins = 2.0 * even[..., 0] - 1
    twisted = jnp.roll(spins[:, :, :1], spins.shape[1] // 2, axis=1)
    pairs = spins + jnp.concatenate([spins[:, :, 1:], twisted], axis=2)
    return pairs + jnp.roll(pairs, -1, axis=1)


def log_weight(even: Even, beta: Betas) -> Float[Array, " batch"]:
    """Returns the log of the sum of exp(-beta E) over the odd sites: sum of log 2 cosh(beta field)."""
    x = beta[:, None, None] * fields(even)
    return jnp.sum(jnp.logaddexp(x, -x), axis=(1, 2))


def energy(even: Even, beta: Betas) -> Float[Array, " batch"]:
    """Returns the mean energy of the lattice given its even sites."""
    field = fields(even)
    return -jnp.sum(field * jnp.tanh(beta[:, None, None] * field), axis=(1, 2))


def lattice(key: Key[Array, ""], even: Even, beta: Betas) -> Int[Array, "batch size size"]:
    """Draws the odd sites given the even ones; returns all spins, -1 or 1, in their rows and columns."""
    field = fields(even)
    odd = jax.random.bernoulli(key, jax.nn.sigmoid(2 * beta[:, None, None] * field))
    size = even.shape[1]
    u, v = np.indices(even.shape[1:3])
    rows, columns = (u + v) % size, (u - v) % size
    spins = jnp.zeros((len(even), size, size), jnp.int32)
    spins = spins.at[:, rows, columns].set(2 * even[..., 0] - 1)
    return spins.at[:, (rows + 1) % size, columns].set(2 * odd.astype(jnp.int32) - 1)
