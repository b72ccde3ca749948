"""Temperature and classifier-free guidance."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from pixelcnn_jax.distributions import promoted
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.inputs import Condition

Scalar = float | int | Float[Array, ""]


class Adjustment(NamedTuple):
    """Adjustment of the logits before sampling.

    Attributes:
      temperature: divisor of the logits; None for 1.
      guidance: w in (1 + w) conditional - w unconditional logits; None for 0.
    """

    temperature: Scalar | None
    guidance: Scalar | None

    @property
    def passes(self) -> int:
        """Forward passes per image."""
        return 1 if self.guidance is None else 2

    def repeat(self, images: Shaped[Array, "batch ..."]) -> Shaped[Array, "passes_batch ..."]:
        """Repeats each image for the unconditional pass."""
        return images if self.passes == 1 else jnp.repeat(images, self.passes, axis=0)

    def logits(self, logits: Float[Array, "passes_batch levels"]) -> Float[Array, "batch levels"]:
        """Computes the logits to draw from, up to a constant."""
        if self.guidance is not None:
            pairs = promoted(logits).reshape(-1, 2, logits.shape[-1])
            change = jnp.asarray(self.guidance, pairs.dtype) * (pairs[:, 0] - pairs[:, 1])
            logits = pairs[:, 0] + jnp.where(jnp.isneginf(pairs[:, 0]), 0, change)
        if self.temperature is None:
            return logits
        logits = promoted(logits)  # and then at most 0, which avoids overflow
        return (logits - logits.max(axis=-1, keepdims=True)) / jnp.asarray(self.temperature, logits.dtype)


def make_adjustment(temperature: Scalar, guidance: Scalar) -> Adjustment:
    """Builds the adjustment; traced values are not checked.

    Raises:
      InputError: temperature or guidance is out of range.
    """
    parts: list[Any] = []
    for name, value, least, neutral in (("temperature", temperature, 1e-30, 1), ("guidance", guidance, 0, 0)):
        is_traced = isinstance(value, jax.core.Tracer)
        number = value if is_traced or np.ndim(value) else np.asarray(value).item()
        if np.ndim(value) or not (is_traced or least <= number <= 1e30):
            raise InputError(f"{name} must be one number from {least} to 1e30, got {value}: use jax.vmap for several.")
        parts.append(None if not is_traced and number == neutral else number)
    return Adjustment(*parts)


def interleave(condition: Condition, unconditional: Condition) -> Condition:
    """Interleaves the conditions of both passes."""
    return jax.tree.map(lambda *pair: jnp.stack(pair, axis=1).reshape(-1, *pair[0].shape[1:]), condition, unconditional)
