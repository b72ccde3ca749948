"""A network as a wave function of NetKet: an ``AbstractARNN``, sampled by its stream. Needs ``pixelcnn-jax[netket]``.

Nothing else in the package imports this module, because importing NetKet switches JAX to 64 bits.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import netket as nk
from jaxtyping import Array, Complex, Float, Int, Num, Real

from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.autoregressive import Network
from pixelcnn_jax.models.streaming import conditional, start, stream_of


class PixelARNN(nk.models.AbstractARNN):
    """A wave function whose conditionals are those of a network: |psi(x)|^machine_pow = p(x).

    Sites are read in raster order, as the nodes of ``netket.graph.Grid`` are numbered. Pass it to ``netket.vqs.MCState``
    with a ``netket.sampler.ARDirectSampler``. It samples from the network's stream; a network without one is run again
    for every site.

    Attributes:
      hilbert: the Hilbert space, such as ``netket.hilbert.Spin``. Local state i is level i.
      network: a network with as many levels as a site has states; ``dtype="float64"`` computes in float64.
      lattice: height and width. A site has as many numbers as the network has channels.
      phase: a network of the same levels and channels, whose outputs are the phases of the conditionals, in radians;
        None for a real, positive wave function.
      machine_pow: the exponent that turns amplitudes into probabilities.
    """

    network: Network
    lattice: tuple[int, int]
    phase: Network | None = None
    machine_pow: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        size, states = self.hilbert.size, self.hilbert.local_size
        height, width = self.lattice
        for name, network in (("network", self.network), ("phase", self.phase)):
            if network is not None and network.levels != states:
                raise InputError(f"{name}.levels must be the local size of hilbert, {states}, got {network.levels}.")
            if network is not None and height * width * network.channels != size:
                raise InputError(f"lattice and {name}.channels must make {size} sites, got {height, width, network.channels}.")

    def conditionals_log_psi(
        self, inputs: Real[Array, "batch sites"]
    ) -> Float[Array, "batch sites states"] | Complex[Array, "batch sites states"]:
        """Returns the logarithm of the conditional wave functions of every site for each of its states."""
        images = self._images(inputs)
        log_psi = jax.nn.log_softmax(self.network(images)) / self.machine_pow
        if self.phase is not None:
            log_psi = log_psi + 1j * self.phase(images)
        return log_psi.reshape(*inputs.shape, -1)

    @nn.compact
    def conditional(self, inputs: Real[Array, "batch sites"], index: Int[Array, ""] | int) -> Num[Array, "batch states"]:
        """Returns the probabilities of the states of a site, given ``inputs`` at the site before it.

        Called for sites 0, 1, 2, ..., as ``AbstractARNN.conditional``; what it remembers is the collection "cache".
        """
        network, images = self.network.clone(parent=None, name=None), self._images(inputs)
        if stream_of(network) is None:
            return super().conditional(inputs, index)
        if self.is_initializing():
            self.network(images)
        variables = {"params": self.network.variables["params"]}

        def begin() -> Any:
            return start(network, variables, shape=images.shape[:3])

        cache = self.variable("cache", "stream", begin)
        # NetKet makes the cache from other parameters than it samples with: the first site begins with the right ones.
        here = jax.lax.cond(jnp.asarray(index) == 0, begin, lambda: cache.value)
        log_probs, here = conditional(here, images.reshape(inputs.shape)[:, index - 1])
        if not self.is_initializing():
            cache.value = here
        return jnp.exp(log_probs)

    def _images(self, inputs: Real[Array, "batch sites"]) -> Int[Array, "batch height width channels"]:
        levels = self.hilbert.states_to_local_indices(inputs)
        return levels.astype(jnp.int32).reshape(-1, *self.lattice, self.network.channels)
