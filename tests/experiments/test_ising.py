"""Ising spins: everything that is exact by enumeration, and a short training against the exact free energy."""

import itertools
import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from click.testing import CliRunner

from benchmarks.ising import infinite_magnetisation
from experiments.extensions import ising, ising_lattice
from experiments.extensions.ising_lattice import CRITICAL
from pixelcnn_jax import InputError

SIZE = 4
BETA = 0.3
KEY = jax.random.key(0)


def configurations(*shape):
    """All arrays of 0 and 1 of a shape."""
    return np.array([*itertools.product([0, 1], repeat=np.prod(shape))]).reshape(-1, *shape)


def energies(spins):
    return -np.sum(spins * (np.roll(spins, 1, axis=1) + np.roll(spins, 1, axis=2)), axis=(1, 2))


@pytest.fixture(scope="module")
def network():
    return ising.make_network(size=SIZE, layers=1, features=4)


@pytest.fixture(scope="module")
def variables(network):
    return jax.jit(partial(ising.new_variables, network))(KEY)


@pytest.fixture(scope="module")
def even():
    """All configurations of the even sites."""
    return jnp.asarray(configurations(SIZE, SIZE // 2, 1), jnp.int32)


@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("beta", [0.05, CRITICAL, 1.0])
def test_exact_solution_is_that_of_enumeration(size, beta):
    energy = energies(2.0 * configurations(size, size) - 1)
    log_z = np.logaddexp.reduce(-beta * energy)
    assert ising_lattice.log_partition(beta, size=size) == pytest.approx(log_z, rel=1e-11)
    mean = np.sum(energy * np.exp(-beta * energy - log_z))
    assert ising_lattice.mean_energy(beta, size=size) == pytest.approx(mean, rel=1e-7)


def test_large_lattice_has_the_critical_energy_and_the_magnetisation_of_the_infinite_one():
    assert ising_lattice.mean_energy(CRITICAL, size=64) / 64**2 == pytest.approx(-np.sqrt(2), rel=0.01)  # Onsager 1944
    assert infinite_magnetisation(CRITICAL) == 0
    assert infinite_magnetisation(0.5) == pytest.approx(0.9113, abs=1e-4)


@pytest.mark.parametrize("size", [2, 4])
def test_sum_over_odd_sites_is_that_of_enumeration(size):
    spins = configurations(size, size)
    u, v = np.indices((size, size // 2))
    keys = spins[:, (u + v) % size, (u - v) % size].reshape(len(spins), -1) @ 2 ** np.arange(size * size // 2)[::-1]
    energy = energies(2.0 * spins - 1)
    log_weight, mean = np.full(2 ** (size * size // 2), -np.inf), np.zeros(2 ** (size * size // 2))
    np.logaddexp.at(log_weight, keys, -BETA * energy)
    np.add.at(mean, keys, energy * np.exp(-BETA * energy - log_weight[keys]))
    even = jnp.asarray(configurations(size, size // 2, 1), jnp.int32)
    beta = jnp.full(len(even), BETA)
    np.testing.assert_allclose(ising_lattice.log_weight(even, beta), log_weight, rtol=1e-5)
    np.testing.assert_allclose(ising_lattice.energy(even, beta), mean, rtol=1e-4, atol=1e-4)


def test_odd_sites_are_drawn_between_their_even_neighbours(even):
    """At a low temperature each odd spin agrees with the majority around it, which gives the lowest energy."""
    cold = jnp.full(len(even), 50.0)
    spins = np.asarray(ising_lattice.lattice(KEY, even, cold))
    assert set(np.unique(spins)) == {-1, 1}
    np.testing.assert_allclose(energies(spins), ising_lattice.energy(even, cold), atol=1e-4)


def test_density_is_normalised_and_symmetric(network, variables, even):
    log_q = jax.jit(partial(ising.log_prob, network))(variables, even, jnp.full(len(even), BETA))
    assert np.sum(np.exp(log_q, dtype=np.float64)) == pytest.approx(1, rel=1e-5)
    np.testing.assert_allclose(log_q, log_q[::-1], rtol=1e-6)  # the negative of the first configuration is the last


def test_draws_have_their_log_probability_and_either_sign(network, variables):
    beta = jnp.linspace(0.1, 0.5, 64)
    drawn, log_q = jax.jit(partial(ising.draw, network, size=SIZE))(variables, KEY, beta)
    again = jax.jit(partial(ising.log_prob, network))(variables, drawn, beta)
    np.testing.assert_allclose(log_q, again, rtol=1e-5)
    assert set(np.unique(drawn[:, 0, 0])) == {0, 1}


def test_gradient_is_on_average_that_of_the_free_energy(network, variables, even):
    """Two samples at each beta: a baseline that included the sample itself would halve the gradient."""
    each = jnp.full(len(even), BETA)

    def free_energy(variables):
        log_q = ising.log_prob(network, variables, even, each)
        return jnp.sum(jnp.exp(log_q) * (log_q - ising_lattice.log_weight(even, each)))

    expected, exact = jax.jit(jax.value_and_grad(free_energy))(variables)
    draw_batch = jax.jit(partial(ising.draw_batch, network, size=SIZE, samples=2))
    batch, excess = draw_batch(variables, KEY, jnp.full(400, BETA))
    loss = ising.experiment_of(network, variables).loss
    actual = jax.jit(jax.grad(lambda variables: loss(variables, batch, None).mean()))(variables)
    assert optax.tree.vdot(actual, exact) / optax.tree.vdot(exact, exact) == pytest.approx(1, abs=0.15)
    assert optax.tree.norm(optax.tree.sub(actual, exact)) < 0.7 * optax.tree.norm(exact)
    assert excess.mean() == pytest.approx(float(expected), abs=0.2)


def test_command_reaches_the_exact_free_energy_and_its_model_gives_the_figures_again(tmp_path):
    small = ["--layers=1", "--features=4", "--evaluated=1000"]
    training = [*small, f"--size={SIZE}", "--steps=250", "--samples=16", f"--output={tmp_path}"]
    first = CliRunner().invoke(ising.main, training)
    [figures] = json.loads(first.stdout)["figures"]
    exact = -figures["exact"] / CRITICAL / SIZE**2
    assert 0 < abs(figures["free_energy"] - exact) < 4 * figures["free_energy_error"] < 0.01
    assert 0 < figures["relative_error_variational"] < 1e-2
    assert abs(figures["relative_error_importance_weighted"]) < 4e-3
    assert figures["effective_sample_size"] > 0.6
    assert figures["energy"] == pytest.approx(figures["exact_energy"], rel=0.02)
    assert 0.5 < figures["magnetisation"] < 1
    twice = [f"--beta={CRITICAL}"] * 2
    again = CliRunner().invoke(ising.main, [*small, "--steps=0", f"--start-from={tmp_path}", *twice])
    first, second = json.loads(again.stdout)["figures"]
    assert first == figures
    assert second["variational"] != figures["variational"]  # each beta has samples of its own
    twice = CliRunner().invoke(ising.main, training)
    assert twice.exit_code == 1
    assert "already contains a model" in twice.stderr


@pytest.mark.parametrize("size", [0, 3])
def test_odd_lattices_are_refused(size):
    with pytest.raises(InputError, match="size must be even"):
        ising.make_network(size=size, layers=1, features=4)
