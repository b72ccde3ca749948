"""Ground states of the transverse-field Ising model: PixelCNNs and NetKet's networks.

python -m benchmarks.netket_energy NETWORK [--length=4] [--field=1] [--seeds=3] [--steps=200] [--samples=256]

Periodic lattice, H = -sum of Z Z over neighbours - FIELD sum of X; about equal parameter counts; natural gradient in
float64. CPU seconds exclude the first two steps, which compile. Up to 16 sites energies are exact sums, relative to
exact diagonalisation; beyond, means of fresh samples.

Needs the extra ``netket``.
"""

import json
import time
from collections.abc import Iterator
from typing import Any

import click
import jax
import netket as nk
import numpy as np
import optax

from pixelcnn_jax import GatedPixelCNN
from pixelcnn_jax.foundation.user_command import UserCommand
from pixelcnn_jax.netket import PixelARNN

SUMMED = 16  # most sites for exact sums
FRESH = 2**13  # samples beyond
REPORTS = 4  # energies of each run
SHIFT = 1e-2  # added to the diagonal of the metric
NETWORKS = {
    "gated": None,
    "arnn": dict(layers=4, features=16, kernel_size=(2, 3)),
    "arnn-wide": dict(layers=4, features=10, kernel_size=(3, 5)),
}
Report = dict[str, Any]  # energy and standard error after some steps


def wave_function(name: str, hilbert: Any, length: int) -> Any:
    if (fields := NETWORKS[name]) is not None:
        return nk.models.FastARNNConv2D(hilbert, **fields)
    network = GatedPixelCNN(levels=2, features=8, layers=2, first_kernel_size=5, dtype="float64")
    return PixelARNN(hilbert, network, (length, length))


def energy(state: Any, hamiltonian: Any) -> tuple[float, float]:
    if hamiltonian.hilbert.size <= SUMMED:
        psi = np.asarray(state.to_array())
        return float((psi.conj() @ (hamiltonian.to_sparse() @ psi)).real), 0.0
    fresh = nk.vqs.MCState(
        state.sampler, state.model, n_samples=FRESH, variables=state.variables, seed=1, chunk_size=FRESH
    )
    outcome = fresh.expect(hamiltonian)
    return float(outcome.mean.real), float(outcome.error_of_mean)


def optimise(model: Any, hamiltonian: Any, *, seed: int, steps: int, samples: int, rate: float) -> Iterator[Report]:
    sampler, spent = nk.sampler.ARDirectSampler(hamiltonian.hilbert), 0.0
    state = nk.vqs.MCState(sampler, model, n_samples=samples, seed=seed)
    rates = optax.warmup_cosine_decay_schedule(0.0, rate, steps // 5, steps, rate / 20)
    driver = nk.driver.VMC_SR(hamiltonian, optax.sgd(rates), diag_shift=SHIFT, variational_state=state)
    for step in range(1, steps + 1):
        began = time.process_time()
        driver.run(1, out=None, show_progress=False)
        jax.block_until_ready(state.parameters)
        spent += time.process_time() - began if step > 2 else 0
        if step % max(1, steps // REPORTS) == 0:
            value, error = energy(state, hamiltonian)
            yield {"seed": seed, "steps": step, "cpu_seconds": spent, "energy": value, "error": error}


@click.command(cls=UserCommand, help=__doc__)
@click.argument("name", metavar="NETWORK", type=click.Choice([*NETWORKS]))
@click.option("--length", default=4, show_default=True, help="Sites along each side of the lattice.")
@click.option("--field", default=1.0, show_default=True, help="Strength of the transverse field.")
@click.option("--seeds", default=3, show_default=True, help="Number of runs.")
@click.option("--steps", default=200, show_default=True, help="Steps of a run.")
@click.option("--samples", default=256, show_default=True, help="Samples of a step.")
@click.option("--rate", default=0.1, show_default=True, help="Highest learning rate, after a fifth of the steps.")
def main(name: str, length: int, field: float, seeds: int, steps: int, samples: int, rate: float) -> None:
    graph = nk.graph.Square(length)
    hilbert = nk.hilbert.Spin(0.5, graph.n_nodes)
    hamiltonian = nk.operator.IsingJax(hilbert, graph, h=field, J=-1.0)
    exact = float(nk.exact.lanczos_ed(hamiltonian)[0]) if graph.n_nodes <= SUMMED else None
    model = wave_function(name, hilbert, length)
    shapes = jax.eval_shape(model.init, jax.random.key(0), np.ones((1, hilbert.size)))
    parameters = sum(x.size for x in jax.tree.leaves(shapes["params"]))
    print(f"{name}: {parameters} parameters; exact energy {exact}", flush=True)
    print(f"{'seed':>4} {'steps':>6} {'CPU s':>7} {'energy':>12} {'± error':>9} {'relative error':>15}")
    reports = []
    for seed in range(seeds):
        for report in optimise(model, hamiltonian, seed=seed, steps=steps, samples=samples, rate=rate):
            line = "{seed:4} {steps:6} {cpu_seconds:7.1f} {energy:12.5f} {error:9.5f}".format(**report)
            print(line, "" if exact is None else f"{1 - report['energy'] / exact:15.1e}", flush=True)
            reports.append(report)
    settings = {"length": length, "field": field, "samples": samples, "rate": rate}
    result = {"benchmark": "netket_energy", "network": name, "parameters": parameters, **settings, "exact": exact}
    print(json.dumps(result | {"reports": reports}))


if __name__ == "__main__":
    main()
