"""What a network may say of a sub-pixel: a logit for each level, or a mixture of discretised logistics.

Either way each level has a probability: samplers and codec read log-probabilities, and need not know which it is.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer

Values = Integer[Array | np.ndarray, "*#subpixels"]

# The log-scales, of intensities in [-1, 1], that a component may have: at -7 one of 256 levels holds nearly all of it
# (of many more levels none does, and none can be told for sure); at 7 all levels hold the same.
NARROWEST, WIDEST = -7.0, 7.0


def log_probs_of(logits: Float[Array, "*subpixels levels"], values: Values) -> Float[Array, "*subpixels"]:
    """The log-probability of each value under a softmax, in nats; of logits of fewer bits in float32."""
    logits = at_least_float32(logits)
    chosen = jnp.take_along_axis(logits, values.astype(jnp.int32)[..., None], axis=-1)[..., 0]
    return chosen - jax.nn.logsumexp(logits, axis=-1)


def at_least_float32(logits: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """As likelihood, samplers and codec read them, whatever a module computes in."""
    return logits.astype(jnp.float32) if logits.dtype.itemsize < 4 else logits


class Mixture(NamedTuple):
    """Logistic distributions of an intensity in [-1, 1] (1701.05517, section 2.1), as many as the last axis is long.

    The channels of a pixel are not tied by coefficients as they are there: the network reads the earlier ones.
    """

    log_weights: Float[Array, "*subpixels components"]
    means: Float[Array, "*subpixels components"]
    log_scales: Float[Array, "*subpixels components"]


def mixture_of(numbers: Float[Array, "*subpixels numbers"]) -> Mixture:
    """The mixture that a head's numbers, three a component, stand for.

    Zeros stand for components side by side, each as wide as its share of [-1, 1]: a network begins near the uniform
    distribution, and its components differ.
    """
    weights, means, scales = jnp.split(numbers, 3, axis=-1)
    count = weights.shape[-1]
    centres = ((2 * np.arange(count) + 1) / count - 1).reshape((1,) * (numbers.ndim - 1) + (count,))
    return Mixture(
        log_weights=jax.nn.log_softmax(weights),
        means=means + centres.astype(np.float32),
        log_scales=jnp.clip(scales - np.float32(np.log(2 * count)), NARROWEST, WIDEST),
    )


def mixture_log_probs(
    numbers: Float[Array, "*#subpixels numbers"], values: Values, *, levels: int
) -> Float[Array, "*#subpixels"]:
    """The log-probability of each value, in nats: what each component holds between the neighbours' midpoints.

    The lowest level has all below it, the highest all above, so that the levels' probabilities add up to one. Of a
    level in between it is sigmoid(a) - sigmoid(b), taken as sigmoid(a) sigmoid(-b) (1 - exp(b - a)): no difference of
    nearly equal numbers, so that far from every component it is as exact as near.
    """
    mixture = mixture_of(numbers)
    values = jnp.asarray(values).astype(jnp.int32)[..., None]  # 255 + 1 is no uint8
    rate = jnp.exp(-mixture.log_scales)
    offset = values.astype(jnp.float32) * (2 / (levels - 1)) - 1 - mixture.means
    half = 1 / (levels - 1)
    below, above = jax.nn.log_sigmoid(rate * (offset + half)), jax.nn.log_sigmoid(-rate * (offset - half))
    lowest, highest = values == 0, values == levels - 1
    inside = jnp.where(lowest | highest, 0.0, jnp.log(-jnp.expm1(-2 * half * rate)))
    held = jnp.where(highest, 0.0, below) + jnp.where(lowest, 0.0, above) + inside
    return jax.nn.logsumexp(mixture.log_weights + held, axis=-1)


def mixture_logits(numbers: Float[Array, "*subpixels numbers"], *, levels: int) -> Float[Array, "*subpixels levels"]:
    """The log-probabilities of all levels."""
    every = jnp.arange(levels).reshape((1,) * (numbers.ndim - 1) + (levels,))
    return mixture_log_probs(numbers[..., None, :], every, levels=levels)
