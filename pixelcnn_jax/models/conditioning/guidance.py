"""Changes of a model's conditionals while it is sampled: temperature, and guidance by a condition.

A guided sampler runs the network on each image twice, with the condition and without it, in one batch of neighbours.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from pixelcnn_jax.distributions import promoted
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.inputs import Condition

Scalar = float | int | Float[Array, ""]


class Adjustment(NamedTuple):
    """How the logits of each sub-pixel are changed before it is drawn.

    Attributes:
      temperature: what logits are divided by; None for 1.
      guidance: the weight w of (1 + w) conditional - w unconditional logits; None for 0, which needs no second pass.
    """

    temperature: Scalar | None
    guidance: Scalar | None

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
            pairs = promoted(logits).reshape(-1, 2, logits.shape[-1])
            logits = pairs[:, 0] + self.guidance * (pairs[:, 0] - pairs[:, 1])
        if self.temperature is None:
            return logits
        logits = promoted(logits)
        return (logits - logits.max(axis=-1, keepdims=True)) / self.temperature  # so that nothing grows to infinity


def make_adjustment(temperature: Scalar, guidance: Scalar) -> Adjustment:
    """Makes the adjustment, without the parts that change nothing. Traced values are not checked.

    Raises:
      InputError: for a temperature or guidance that float32 cannot apply.
    """
    parts = []
    for name, value, least, neutral in (("temperature", temperature, 1e-30, 1), ("guidance", guidance, 0, 0)):
        is_traced = isinstance(value, jax.core.Tracer)
        if not is_traced and not least <= value <= 1e30:
            raise InputError(f"{name} must be from {least} to 1e30, got {value}.")
        parts.append(value if is_traced or value != neutral else None)
    return Adjustment(*parts)


def interleave(condition: Condition, unconditional: Condition) -> Condition:
    """Returns the conditions of both passes, in neighbouring rows."""
    return jax.tree.map(lambda *pair: jnp.stack(pair, axis=1).reshape(-1, *pair[0].shape[1:]), condition, unconditional)
