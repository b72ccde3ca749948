"""Ground-state energy of the transverse-field Ising model: a Gated PixelCNN and NetKet's own ARNNs.

python -m benchmarks.netket_energy [--length=4] [--field=1.0] [--seeds=3] [--steps=300]

The lattice is periodic, H = -sum Z Z - field sum X. All networks are optimised alike, by natural gradient in float64,
with about as many parameters. Times are CPU seconds of optimisation, without compilation. On a lattice of up to 16
sites the energy of a wave function is summed over all configurations, and compared with that of exact diagonalisation.
On a larger one it is the mean over samples, with its standard error.

Needs pixelcnn-jax[netket].
"""

import json
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import click
import jax
import netket as nk
import numpy as np
import optax

from pixelcnn_jax import GatedPixelCNN
from pixelcnn_jax.cli.options import UserCommand
from pixelcnn_jax.netket import PixelARNN

SUMMED = 16  # most sites whose configurations are all summed over
SAMPLES = 2**14  # of an energy that is estimated
NAMES = ("GatedPixelCNN", "FastARNNConv2D", "FastARNNConv2D, wide")


class Point(NamedTuple):
    """An energy on the way."""

    step: int
    cpu_seconds: float
    energy: float
    error: float


def wave_function(name: str, hilbert: Any, length: int) -> Any:
    if name == "GatedPixelCNN":
        network = GatedPixelCNN(levels=2, features=8, layers=2, first_kernel_size=5, dtype="float64")
        return PixelARNN(hilbert, network, (length, length))
    kernel, features = ((3, 5), 10) if "wide" in name else ((2, 3), 16)
    return nk.models.FastARNNConv2D(hilbert, layers=4, features=features, kernel_size=kernel)


def energies(model: Any, hamiltonian: Any, *, seed: int, steps: int, samples: int, every: int, rate: float, shift: float) -> Iterator[Point]:
    """Optimises a wave function, and yields its energy every so many steps."""
    hilbert, spent = hamiltonian.hilbert, 0.0
    state = nk.vqs.MCState(nk.sampler.ARDirectSampler(hilbert), model, n_samples=samples, seed=seed)
    schedule = optax.cosine_decay_schedule(rate, steps, alpha=0.05)
    driver = nk.driver.VMC_SR(hamiltonian, optax.sgd(schedule), diag_shift=shift, variational_state=state)
    matrix = hamiltonian.to_sparse() if hilbert.size <= SUMMED else None
    for step in range(steps):
        began = time.process_time()
        driver.run(1, out=None, show_progress=False)
        jax.block_until_ready(state.parameters)
        spent += time.process_time() - began if step > 1 else 0  # the first two compile
        if (step + 1) % every == 0:
            yield Point(step + 1, spent, *energy(state, hamiltonian, matrix))


def energy(state: Any, hamiltonian: Any, matrix: Any) -> tuple[float, float]:
    if matrix is not None:
        psi = np.asarray(state.to_array())
        return float((psi.conj() @ (matrix @ psi)).real), 0.0
    found = nk.vqs.MCState(state.sampler, state.model, n_samples=SAMPLES, variables=state.variables, seed=1, chunk_size=1024)
    found = found.expect(hamiltonian)
    return float(found.mean.real), float(found.error_of_mean)


@click.command(cls=UserCommand, help=__doc__)
@click.option("--length", default=4, show_default=True, help="Sites along each side of the lattice.")
@click.option("--field", default=1.0, show_default=True, help="Strength of the transverse field.")
@click.option("--seeds", default=3, show_default=True)
@click.option("--steps", default=300, show_default=True)
@click.option("--samples", default=512, show_default=True, help="Of a step.")
@click.option("--every", default=50, show_default=True, help="Steps between two energies.")
@click.option("--rate", default=0.05, show_default=True, help="Initial learning rate.")
@click.option("--shift", default=1e-3, show_default=True, help="Added to the diagonal.")
@click.option("--only", type=click.Choice(NAMES), multiple=True)
def main(length: int, field: float, seeds: int, steps: int, samples: int, every: int, rate: float, shift: float, only: Any) -> None:
    graph = nk.graph.Square(length)
    hilbert = nk.hilbert.Spin(0.5, graph.n_nodes)
    hamiltonian = nk.operator.IsingJax(hilbert, graph, h=field, J=-1.0)
    exact = float(nk.exact.lanczos_ed(hamiltonian)[0]) if graph.n_nodes <= SUMMED else None
    print(f"exact: {exact}", flush=True)
    for name in only or NAMES:
        model = wave_function(name, hilbert, length)
        shapes = jax.eval_shape(model.init, jax.random.key(0), np.ones((1, hilbert.size)))
        parameters = sum(x.size for x in jax.tree.leaves(shapes["params"]))
        for seed in range(seeds):
            points = energies(model, hamiltonian, seed=seed, steps=steps, samples=samples, every=every, rate=rate, shift=shift)
            for point in points:
                relative = f"{point.energy / exact - 1:10.1e}" if exact else ""
                print(f"{name:22} {parameters:6} {seed} {point.step:5} {point.cpu_seconds:7.1f} s {point.energy:12.5f} ± {point.error:.5f} {relative}", flush=True)


if __name__ == "__main__":
    main()
