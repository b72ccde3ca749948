"""NetKet wave functions; needs the extra ``netket``.

Nothing else in the package imports this module, because importing NetKet switches JAX to 64 bits, which the rest does
not need.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import netket as nk
from jaxtyping import Array, Complex, Float, Int, Real

from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.conditionals import Cache, init_cache, next_conditional
from pixelcnn_jax.models.streaming import stream_of


class PixelARNN(nk.models.AbstractARNN):  # type: ignore[misc,unused-ignore]
    """Wave function of a network's conditionals: ``|psi(x)| ** machine_pow = p(x)``.

    It is made for ``netket.sampler.ARDirectSampler``. Sites are in raster order, as in ``netket.graph.Grid``.

    Attributes:
      hilbert: Hilbert space, e.g. ``netket.hilbert.Spin``; local state i is level i.
      network: network with one level per local state; ``dtype="float64"`` for double precision.
      lattice: Height and width. If the network has several channels, each position of the lattice has that many sites.
      phase: network of the phases of the conditionals, in radians; None for a positive wave function.
      machine_pow: Exponent k of ``|psi(x)| ** k = p(x)``.
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
        """Computes the logarithm of the conditional wave function of every site and state.

        Args:
          inputs: Configurations of the Hilbert space, of shape [batch, sites].

        Returns:
          Real values, or complex ones with a ``phase``, of shape [batch, sites, states].
        """
        images = self._images(inputs)
        log_psi = jax.nn.log_softmax(self.network(images)) / self.machine_pow
        if self.phase is not None:
            log_psi = log_psi + 1j * self.phase(images)
        return log_psi.reshape(*inputs.shape, -1)

    @nn.compact
    def conditional(
        self, inputs: Real[Array, "batch sites"], index: Int[Array, ""] | int
    ) -> Float[Array, "batch states"]:
        """Computes the probabilities of the states of one site, given the sites before it.

        It must be called for the sites 0, 1, 2, ... in turn, as NetKet does; the collection "cache" holds the memory of
        the stream in between.

        Args:
          inputs: Configurations of the Hilbert space, of shape [batch, sites], of which the sites before ``index``
            matter.
          index: Index of the site.

        Returns:
          Probabilities of shape [batch, states].
        """
        if stream_of(self.network) is None:
            return super().conditional(inputs, index)
        images = self._images(inputs)
        if self.is_initializing():
            self.network(images)
        network, variables = self.network.unbind()

        def begin() -> Cache:
            return init_cache(network, variables, shape=(len(images), *self.lattice))

        cache = self.variable("cache", "stream", begin)
        if self.is_initializing():
            return jnp.full((len(images), network.levels), 1 / network.levels)
        # The cache that NetKet passes was built with the parameters of an earlier step: the first site builds it again.
        previous = jax.lax.cond(jnp.equal(index, 0), begin, lambda: cache.value)
        log_probs, cache.value = next_conditional(previous, images.reshape(inputs.shape)[:, index - 1])
        return jnp.exp(log_probs)

    def _images(self, inputs: Real[Array, "batch sites"]) -> Int[Array, "batch height width channels"]:
        levels = self.hilbert.states_to_local_indices(inputs)
        return levels.astype(jnp.int32).reshape(-1, *self.lattice, self.network.channels)
