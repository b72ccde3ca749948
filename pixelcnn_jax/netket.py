"""A network as a wave function of NetKet, sampled through its stream. Needs ``pixelcnn-jax[netket]``.

Nothing in the package imports this module: importing NetKet switches JAX to 64 bits.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import netket as nk
from jaxtyping import Array, Complex, Float, Int, Real

from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.streaming import Cache, conditional, start, stream_of


class PixelARNN(nk.models.AbstractARNN):  # type: ignore[misc,unused-ignore]
    """A wave function with the conditionals of a network: |psi(x)| ** machine_pow = p(x).

    Sites are read in raster order, in which ``netket.graph.Grid`` numbers them. Use it with
    ``netket.sampler.ARDirectSampler``. A network that has a stream computes each site of a sample once; any other is
    run again for every site.

    Attributes:
      hilbert: the Hilbert space, such as ``netket.hilbert.Spin``. Local state i is level i.
      network: a module that maps images to logits, with as many levels as a site has states. One of this package
        computes in float64 if its ``dtype`` is "float64".
      lattice: height and width. Each position holds as many sites as the network has channels.
      phase: a network with the same levels and channels. Its outputs are the phases of the conditionals, in radians.
        None for a positive wave function.
      machine_pow: the exponent that turns moduli into probabilities.
    """

    network: nn.Module
    lattice: tuple[int, int]
    phase: nn.Module | None = None
    machine_pow: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        states, sites = self.hilbert.local_size, self.hilbert.size
        height, width = self.lattice
        for name, network in (("network", self.network), ("phase", self.phase)):
            if network and (network.levels, height * width * network.channels) != (states, sites):
                raise InputError(
                    f"{name} must have {states} levels, and lattice and its channels make {sites} sites, as hilbert "
                    f"has, got {network.levels} and {height * width * network.channels}."
                )

    def conditionals_log_psi(
        self, inputs: Real[Array, "batch sites"]
    ) -> Float[Array, "batch sites states"] | Complex[Array, "batch sites states"]:
        """Returns the logarithm of the conditional wave function of each site, for each of its states."""
        images = self._images(inputs)
        log_psi = jax.nn.log_softmax(self.network(images)) / self.machine_pow
        if self.phase is not None:
            log_psi = log_psi + 1j * self.phase(images)
        return log_psi.reshape(*inputs.shape, -1)

    @nn.compact
    def conditional(
        self, inputs: Real[Array, "batch sites"], index: Int[Array, ""] | int
    ) -> Float[Array, "batch states"]:
        """Returns the probabilities of the states of a site. ``inputs`` needs values only at the sites before it.

        NetKet's samplers call it for sites 0, 1, 2, ... in turn. The collection "cache" holds the network's cache.
        """
        if stream_of(self.network) is None:
            return super().conditional(inputs, index)
        images = self._images(inputs)
        if self.is_initializing():
            self.network(images)
        network, variables = self.network.unbind()

        def begin() -> Cache:
            return start(network, variables, shape=(len(images), *self.lattice))

        cache = self.variable("cache", "stream", begin)
        if self.is_initializing():
            return jnp.full((len(images), network.levels), 1 / network.levels)
        # NetKet creates the cache with parameters of its own, so the first site starts a new one.
        previous = jax.lax.cond(jnp.equal(index, 0), begin, lambda: cache.value)
        log_probs, cache.value = conditional(previous, images.reshape(inputs.shape)[:, index - 1])
        return jnp.exp(log_probs)

    def _images(self, inputs: Real[Array, "batch sites"]) -> Int[Array, "batch height width channels"]:
        """Returns configurations, such as spins of -1 and 1, as images of levels."""
        levels = self.hilbert.states_to_local_indices(inputs)
        return levels.astype(jnp.int32).reshape(-1, *self.lattice, self.network.channels)
