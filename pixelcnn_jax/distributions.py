"""Distributions over the levels of a sub-pixel: a softmax, or a mixture of discretised logistics; and draws from them.

Both give every level a probability. Samplers read log-probabilities and do not know which one it is.
"""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, DTypeLike, Float, Int, Integer, Key

Values = Integer[Array | np.ndarray, "*#subpixels"]

# Bounds of the log-scales, for intensities in [-1, 1]. At -7 one of 256 levels holds nearly all of the mass, at 7 all
# levels hold the same.
NARROWEST, WIDEST = -7.0, 7.0
NARROWED = 0.25  # initial distances of components around a linear prediction, as a share of those without one
FAINT = -6.0  # initial log-weight of a point mass, next to components of 0


def intensities(
    values: Integer[Array | np.ndarray, "*shape"], levels: int, dtype: DTypeLike = jnp.float32
) -> Float[Array, "*shape"]:
    """Returns levels 0 to ``levels - 1`` as intensities in [-1, 1], in float32 or in the type that is given."""
    return jnp.asarray(values).astype(dtype) * (2 / (levels - 1)) - 1


def log_probs_of(logits: Float[Array, "*subpixels levels"], values: Values) -> Float[Array, "*subpixels"]:
    """Returns the log-probability of each value under a softmax, in nats, computed in float32 or better."""
    logits = promoted(logits)
    chosen = jnp.take_along_axis(logits, values.astype(jnp.int32)[..., None], axis=-1)[..., 0]
    return chosen - jax.nn.logsumexp(logits, axis=-1)


def accumulation_dtype(dtype: DTypeLike) -> DTypeLike:
    """Promotes half precision to float32; keeps any other type."""
    return jnp.float32 if jnp.dtype(dtype).itemsize < 4 else dtype


def promoted(logits: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Converts logits of half precision to float32."""
    return logits.astype(accumulation_dtype(logits.dtype))


class Mixture(NamedTuple):
    """A mixture of logistic distributions of an intensity in [-1, 1] (Salimans et al. 2017, section 2.1).

    Unlike there, coefficients tie the channels only in ``predicted``: the network reads the earlier ones anyway.

    Attributes:
      log_weights: of the components, then of the point masses at the lowest and the highest level, if there are any.
      means: of the components.
      log_scales: of the components.
    """

    log_weights: Float[Array, "*subpixels weights"]
    means: Float[Array, "*subpixels components"]
    log_scales: Float[Array, "*subpixels components"]


def mixture_of(numbers: Float[Array, "*subpixels numbers"]) -> Mixture:
    """Returns the mixture that the outputs of a head parametrise: three numbers per component, two for point masses.

    Zeros give evenly spaced components, each as wide as its share of [-1, 1], and point masses of next to nothing. A
    network thus starts close to the uniform distribution, with components that differ.
    """
    count = numbers.shape[-1] // 3
    weights, means, scales, ends = jnp.split(numbers, (count, 2 * count, 3 * count), axis=-1)
    centres = centres_of(count).reshape((1,) * (numbers.ndim - 1) + (count,))
    return Mixture(
        log_weights=jax.nn.log_softmax(jnp.concatenate([weights, ends + FAINT], axis=-1)),
        means=means + centres.astype(numbers.dtype),
        log_scales=jnp.clip(scales - math.log(2 * count), NARROWEST, WIDEST),
    )


def centres_of(count: int) -> Float[np.ndarray, " components"]:
    """Returns the initial means of a mixture, evenly spaced."""
    return (2 * np.arange(count) + 1) / count - 1


def neighbours(x: Float[Array, "batch height width channels"]) -> list[Float[Array, "batch height width channels"]]:
    """Returns the pixels to the left, above, and above to the left, with zeros beyond the border."""
    padded = jnp.pad(x, ((0, 0), (1, 0), (1, 0), (0, 0)))
    return [padded[:, 1:, :-1], padded[:, :-1, 1:], padded[:, :-1, :-1]]


def differences(x: Float[Array, "*pixels channels"], around: list[Array]) -> Float[Array, "*pixels channels terms"]:
    """Returns twice the prediction of each channel, the mean of left and above, and what coefficients add to it.

    Twice, so that integers stay integers: left minus above, and the errors of the same prediction for the corner and
    the earlier channels. ``around`` is what ``neighbours`` returns.
    """
    left, above, corner = around
    twice, channels = left + above, x.shape[-1]
    earlier = np.tri(channels, channels - 1, -1, dtype=bool).reshape((1,) * (x.ndim - 1) + (channels, channels - 1))
    errors = jnp.where(earlier, (2 * x - twice)[..., None, :-1], 0.0)
    return jnp.concatenate([jnp.stack([twice, left - above, 2 * corner - twice], axis=-1), errors], axis=-1)


def split_coefficients(
    outputs: Float[Array, "*subpixels outputs"], terms: Float[Array, "*subpixels terms"], components: int
) -> tuple[Float[Array, "*subpixels numbers"], Float[Array, "*subpixels coefficients components"]]:
    """Splits the outputs of a head into the numbers of a mixture and the coefficients of ``differences``."""
    shape = *outputs.shape[:-1], terms.shape[-1] - 1, components
    numbers, coefficients = jnp.split(outputs, (outputs.shape[-1] - shape[-2] * components,), axis=-1)
    return numbers, coefficients.reshape(shape)


@partial(jax.jit, static_argnames="components", inline=True)
def predicted(
    outputs: Float[Array, "*subpixels outputs"], terms: Float[Array, "*subpixels terms"], *, components: int
) -> Float[Array, "*subpixels numbers"]:
    """Returns the numbers of a mixture that is centred on a linear prediction, closer together at first.

    Args:
      outputs: those numbers relative to the prediction, then its coefficients for each component.
      terms: of ``differences``.
      components: number of components.
    """
    numbers, coefficients = split_coefficients(outputs, terms, components)
    twice = terms[..., :1] + jnp.sum(coefficients * terms[..., 1:, None], axis=-2)
    nearer = (NARROWED - 1) * centres_of(components).reshape((1,) * (twice.ndim - 1) + (components,))
    return numbers.at[..., components : 2 * components].add(twice / 2 + nearer.astype(twice.dtype))


def mixture_log_probs(
    numbers: Float[Array, "*#subpixels numbers"], values: Values, *, levels: int
) -> Float[Array, "*#subpixels"]:
    """Returns the log-probability of each value, in nats: the mass between the midpoints to the neighbouring levels.

    The lowest level has all mass below it and the highest all mass above it, so that probabilities sum to one; each may
    have a point mass besides. The mass of any other level is sigmoid(a) - sigmoid(b), computed as sigmoid(a)
    sigmoid(-b) (1 - exp(b - a)). This avoids the difference of nearly equal numbers, and is as exact far from all
    components as near them.
    """
    mixture = mixture_of(numbers)
    values = jnp.asarray(values).astype(jnp.int32)[..., None]  # a uint8 cannot hold 256
    rate = jnp.exp(-mixture.log_scales)
    offset = intensities(values, levels, mixture.means.dtype) - mixture.means
    half = 1 / (levels - 1)
    below, above = jax.nn.log_sigmoid(rate * (offset + half)), jax.nn.log_sigmoid(-rate * (offset - half))
    lowest, highest = values == 0, values == levels - 1
    inside = jnp.where(lowest | highest, 0.0, jnp.log(-jnp.expm1(-2 * half * rate)))
    mass = jnp.where(highest, 0.0, below) + jnp.where(lowest, 0.0, above) + inside
    if mixture.log_weights.shape[-1] > mass.shape[-1]:
        ends = jnp.where(jnp.concatenate([lowest, highest], axis=-1), 0.0, -jnp.inf)
        mass = jnp.concatenate([mass, jnp.broadcast_to(ends, (*mass.shape[:-1], 2))], axis=-1)
    return jax.nn.logsumexp(mixture.log_weights + mass, axis=-1)


def mixture_logits(numbers: Float[Array, "*subpixels numbers"], *, levels: int) -> Float[Array, "*subpixels levels"]:
    """Returns the log-probabilities of all levels.

    Levels have the mass that ``mixture_log_probs`` gives them. A probability that its type cannot hold counts as the
    smallest normal number, without a gradient: train by ``mixture_log_probs``. Neighbouring levels share an edge, so
    that a level costs two sigmoids per component and one logarithm in all.
    """
    *subpixels, count = numbers.shape
    numbers = numbers.reshape(-1, count)  # jaxlib 0.10.2 crashes in sums of products of eight axes (jax issue 40412)
    mixture = mixture_of(numbers)
    components = mixture.means.shape[-1]
    weights, ends = jnp.split(jnp.exp(mixture.log_weights), (components,), axis=-1)
    rate, half = jnp.exp(-mixture.log_scales)[..., None], 1 / (levels - 1)
    every = np.arange(levels - 1).reshape((1,) * numbers.ndim + (levels - 1,))  # all but the last have an upper edge
    at = rate * (intensities(every, levels, numbers.dtype) + half - mixture.means[..., None])
    below, above = jax.nn.sigmoid(at), jax.nn.sigmoid(-at)
    inside = -jnp.expm1(-2 * half * rate) * below[..., 1:] * above[..., :-1]
    masses = jnp.concatenate([below[..., :1], inside, above[..., -1:]], axis=-1)
    probabilities = (weights[..., None] * masses).sum(axis=-2)
    if ends.shape[-1]:
        probabilities = probabilities.at[..., :: levels - 1].add(ends)
    return jnp.log(jnp.maximum(probabilities, jnp.finfo(probabilities.dtype).tiny)).reshape(*subpixels, levels)


def noise(
    keys: Key[Array, " batch"], row: Int[Array, ""] | int, *, width: int, channels: int, levels: int
) -> Float[Array, "batch width channels groups_and_members"]:
    """Returns the Gumbel noise from which ``draw`` draws the sub-pixels of a row.

    It depends only on the image's key and the row, so that every sampler, in any order of pixels, sees the same noise.
    """
    shape = (width, channels, sum(_square(levels)))
    return jax.vmap(lambda key: jax.random.gumbel(jax.random.fold_in(key, row), shape))(keys)


def draw(
    logits: Float[Array, "batch levels"], gumbel: Float[Array, "batch groups_and_members"]
) -> Int[Array, " batch"]:
    """Draws from the softmax of the logits: the argmax of logits plus Gumbel noise, in two exact steps.

    The first step draws a group of neighbouring levels by its total probability, the second a level of the group. For
    256 levels this takes 32 random numbers. One step would take 256, which cost more than a small network. A rounding
    error changes a draw as rarely as in one step, and far more rarely than by inverting the cumulative distribution.
    Logits with a NaN give -1, which is no level.
    """
    groups, members = _square(levels := logits.shape[-1])
    padded = jnp.pad(promoted(logits), ((0, 0), (0, groups * members - levels)), constant_values=-jnp.inf)
    square = padded.reshape(-1, groups, members)
    shares = jnp.exp(square - jnp.max(square, axis=(1, 2), keepdims=True)).sum(axis=-1)
    group = jnp.argmax(jnp.log(shares) + gumbel[:, :groups], axis=-1)
    within = jnp.take_along_axis(square, group[:, None, None], axis=1)[:, 0]
    level = group * members + jnp.argmax(within + gumbel[:, groups:], axis=-1)
    return jnp.where(jnp.isnan(shares[:, 0]), -1, level)


def _square(levels: int) -> tuple[int, int]:
    """Returns the number of groups of levels, and of members of a group."""
    members = math.isqrt(levels - 1) + 1
    return -(-levels // members), members
