"""Changes of a model's conditionals while it is sampled: temperature, and guidance by a condition.

A guided sampler runs the network on each image twice, with the condition and without it, in one batch of neighbours.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from pixelcnn_jax.foundation.distributions import at_least_float32
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.inputs import Condition


class Adjustment(NamedTuple):
    """How the logits of each sub-pixel are changed before it is drawn.

    Attributes:
      temperature: what logits are divided by; None for 1.
      guidance: the weight w of (1 + w) conditional - w unconditional logits; None for 0, which needs no second pass.
    """

    temperature: float | Float[Array, ""] | None
    guidance: float | Float[Array, ""] | None

    @property
    def passes(self) -> int:
        """Number of times that the network sees each image."""
        return 1 if self.guidance is None else 2

    def repeat(self, images: Shaped[Array, "batch ..."]) -> Shaped[Array, "passes_batch ..."]:
        """Returns images as the network sees them, each followed by its copy for the unconditional pass."""
        return images if self.passes == 1 else jnp.repeat(images, self.passes, axis=0)

    def logits(self, logits: Float[Array, "passes_batch levels"]) -> Float[Array, "batch levels"]:
        """Returns the logits to draw from; the softmax renormalises them."""
        if self.guidance is not None:
            pairs = at_least_float32(logits).reshape(-1, 2, logits.shape[-1])
            logits = pairs[:, 0] + self.guidance * (pairs[:, 0] - pairs[:, 1])
        if self.temperature is None:
            return logits
        logits = at_least_float32(logits)
        return (logits - logits.max(axis=-1, keepdims=True)) / self.temperature  # so that nothing grows to infinity


def make_adjustment(temperature: float, guidance: float) -> Adjustment:
    """Returns the adjustment by two finite numbers, without the parts that change nothing.

    Raises:
      InputError: for a temperature below 1e-30, near the smallest number of float32, and for a guidance below 0.
    """
    if temperature < 1e-30:
        raise InputError(f"temperature must be above 0, and at least 1e-30, got {temperature}.")
    if guidance < 0:
        raise InputError(f"guidance must be at least 0, got {guidance}.")
    return Adjustment(None if temperature == 1 else temperature, None if guidance == 0 else guidance)


def interleave(condition: Condition, unconditional: Condition) -> Condition:
    """Returns the conditions of both passes, in neighbouring rows."""
    return jax.tree.map(lambda *pair: jnp.stack(pair, axis=1).reshape(-1, *pair[0].shape[1:]), condition, unconditional)
