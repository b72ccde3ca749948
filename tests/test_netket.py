"""Networks as wave functions of NetKet: what holds for its own autoregressive networks holds for them, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from proofs import assert_follow, randomised
from test_docs import NETKET_PAGE, run_blocks

from pixelcnn_jax import DiagonalBiLSTM, GatedPixelCNN, InputError, PixelCNN

nk = pytest.importorskip("netket", reason="NetKet is not installed: make test-extras")
wave_functions = pytest.importorskip("pixelcnn_jax.netket")

SMALL = dict(features=6, layers=1, first_kernel_size=3, dtype="float64")


@pytest.fixture(autouse=True)
def float64():
    """As importing NetKet switches JAX, but for these tests alone; and NetKet promotes ranks."""
    with jax.enable_x64(True), jax.numpy_rank_promotion("allow"):
        yield


def spins(count):
    return nk.hilbert.Spin(0.5, count)


def grey(network, **changes):
    return network(levels=2, **SMALL | changes)


# name: a function that returns a wave function
WAVE_FUNCTIONS = {
    "real": lambda: wave_functions.PixelARNN(spins(6), grey(GatedPixelCNN), (2, 3)),
    "with a phase": lambda: wave_functions.PixelARNN(spins(6), grey(GatedPixelCNN), (3, 2), phase=grey(PixelCNN)),
    "three states, two a site": lambda: wave_functions.PixelARNN(
        nk.hilbert.Fock(2, 4), GatedPixelCNN(levels=3, channels=2, **SMALL), (1, 2), machine_pow=1
    ),
    "without a stream": lambda: wave_functions.PixelARNN(spins(4), grey(DiagonalBiLSTM), (2, 2)),
}


def build(name):
    model = WAVE_FUNCTIONS[name]()
    inputs = model.hilbert.random_state(jax.random.key(0), 3)
    variables = model.init(jax.random.key(1), inputs)
    return model, jax.tree.map(lambda x: x.astype(jnp.float64), randomised(variables)), inputs


each = pytest.mark.parametrize("name", WAVE_FUNCTIONS)


@each
def test_probabilities_sum_to_one(name):
    model, variables, _ = build(name)
    psi = model.apply(variables, jnp.asarray(model.hilbert.all_states()))
    assert psi.dtype == (jnp.complex128 if model.phase else jnp.float64)
    np.testing.assert_allclose((jnp.abs(jnp.exp(psi)) ** model.machine_pow).sum(), 1, rtol=1e-12)


@each
def test_a_conditional_depends_on_earlier_sites_only(name):
    model, variables, inputs = build(name)
    read = jax.jit(lambda inputs: model.apply(variables, inputs, method=model.conditionals_log_psi))
    before = read(inputs)
    for site in range(model.hilbert.size):
        other = model.hilbert.states_to_local_indices(inputs[:, site]) == 0
        states = jnp.asarray(model.hilbert.local_states, inputs.dtype)
        after = read(inputs.at[:, site].set(jnp.where(other, states[1], states[0])))
        np.testing.assert_allclose(after[:, : site + 1], before[:, : site + 1], rtol=1e-12)
        assert site == model.hilbert.size - 1 or (after[:, site + 1 :] != before[:, site + 1 :]).any()


@each
def test_cached_conditionals_are_those_of_the_whole_network(name):
    model, variables, inputs = build(name)
    expected = model.apply(variables, inputs, method=model.conditionals)
    # As NetKet's sampler does, the cache is made by other parameters.
    cache = model.init(jax.random.key(9), inputs, 0, method=model.conditional).get("cache", {})
    assert bool(cache) == (name != "without a stream")

    @jax.jit
    def read(cache, index):
        return model.apply({**variables, "cache": cache}, inputs, index, method=model.conditional, mutable=["cache"])

    for _ in range(2):  # the second time begins with the cache of the first
        for index in range(model.hilbert.size):
            actual, after = read(cache, index)
            cache = after.get("cache", {})
            np.testing.assert_allclose(actual, expected[:, index], rtol=1e-10)


def test_samples_follow_the_wave_function():
    model, variables, _ = build("real")
    states = model.hilbert.all_states()
    probabilities = np.exp(2 * np.asarray(model.apply(variables, jnp.asarray(states))))
    sampler = nk.sampler.ARDirectSampler(model.hilbert)
    drawn, _ = sampler.sample(model, variables, state=sampler.init_state(model, variables, 3), chain_length=4000)
    drawn = np.asarray(model.hilbert.states_to_local_indices(drawn.reshape(-1, 6)))
    order = np.argsort(model.hilbert.states_to_local_indices(states) @ 2 ** np.arange(6)[::-1])
    assert_follow(drawn, probabilities[order], levels=2)


def test_a_ground_state_with_phases_is_found():
    """That of a field along y: the mean of Y is zero in any real state, which leaves the energy of the bonds."""
    hilbert, spin = spins(4), nk.operator.spin
    bonds = -sum(spin.sigmaz(hilbert, i) @ spin.sigmaz(hilbert, j) for i, j in [(0, 1), (2, 3), (0, 2), (1, 3)])
    hamiltonian = (bonds - 2 * sum(spin.sigmay(hilbert, i) for i in range(4))).to_jax_operator()
    model = wave_functions.PixelARNN(hilbert, grey(GatedPixelCNN), (2, 2), phase=grey(GatedPixelCNN))
    state = nk.vqs.MCState(nk.sampler.ARDirectSampler(hilbert), model, n_samples=128, seed=0)
    driver = nk.driver.VMC_SR(hamiltonian, optax.sgd(0.1), diag_shift=1e-2, variational_state=state)
    driver.run(60, out=None, show_progress=False)
    psi, exact = np.asarray(state.to_array()), float(nk.exact.lanczos_ed(hamiltonian)[0])
    energy = (psi.conj() @ (hamiltonian.to_sparse() @ psi)).real
    assert exact < -8  # a real state has at least the energy -4 of the bonds
    np.testing.assert_allclose(energy, exact, rtol=2e-2)


@pytest.mark.parametrize(
    ("network", "lattice", "words"),
    [
        (dict(levels=3), (2, 2), "levels"),
        (dict(levels=2), (2, 3), "lattice"),
        (dict(levels=2, channels=2), (2, 2), "sites"),
    ],
)
def test_a_network_that_does_not_fit_is_refused(network, lattice, words):
    with pytest.raises(InputError, match=words):
        wave_functions.PixelARNN(spins(4), GatedPixelCNN(**network, **SMALL), lattice)


def test_the_page_runs():
    run_blocks(NETKET_PAGE, mark=" netket")
