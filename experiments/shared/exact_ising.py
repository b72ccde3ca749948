"""The exact solution of the Ising model on a periodic square lattice, in float64: the reference of ``beyond.ising``.

Each of the size x size spins has a bond to its right and to its lower neighbour, so two spins share two bonds if the
size is 2. Units: coupling J = 1, inverse temperature beta, energies of the whole lattice.
"""

import math

import numpy as np

from pixelcnn_jax.foundation.errors import InputError

CRITICAL = math.log(1 + math.sqrt(2)) / 2  # beta at the phase transition of the infinite lattice (Onsager 1944)
STEP = 1e-5  # of beta, for the derivative; its error and that of rounding are both near 1e-8 of the energy


def log_partition(beta: float, *, size: int) -> float:
    """Returns log Z in nats, by the four products of Kaufman 1949 (Phys. Rev. 76, 1232).

    Raises:
      InputError: unless beta is positive.
    """
    if not beta > 0:
        raise InputError(f"beta must be positive, got {beta}.")
    angles = np.pi * np.arange(2 * size) / size
    gamma = np.arccosh(np.maximum(1, np.cosh(2 * beta) / np.tanh(2 * beta) - np.cos(angles)))
    gamma[0] = 2 * beta + np.log(np.tanh(beta))  # negative above the critical temperature

    def two_products(gamma: np.ndarray) -> float:  # the log of prod 2 cosh(size gamma / 2) + prod 2 sinh(...)
        decays = np.exp(-size * gamma)
        return float(size * gamma.sum() / 2 + np.log(np.prod(1 + decays) + np.prod(1 - decays)))

    sums = np.logaddexp(two_products(gamma[1::2]), two_products(gamma[::2]))
    return float(size**2 / 2 * np.log(2 * np.sinh(2 * beta)) - np.log(2) + sums)


def mean_energy(beta: float, *, size: int) -> float:
    """Returns the mean energy, -d log Z / d beta, by central differences."""
    return (log_partition(beta - STEP, size=size) - log_partition(beta + STEP, size=size)) / (2 * STEP)


def infinite_magnetisation(beta: float) -> float:
    """Returns the spontaneous magnetisation per site of the infinite lattice (Onsager, Yang 1952)."""
    return 0.0 if beta <= CRITICAL else float((1 - np.sinh(2 * beta) ** -4) ** (1 / 8))
