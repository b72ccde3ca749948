"""Softmax and discretised logistic mixtures over levels; their noise, and samples by the Gumbel-max trick."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, DTypeLike, Float, Int, Integer, Key

Values = Integer[Array | np.ndarray, "*#subpixels"]

MAX_LOG_SCALE = 7.0  # of a uniform component
NARROWED = 0.25  # initial spacing of components around a linear prediction, relative to the default
MIN_LOG_WEIGHT = -6.0  # initial log-weight of a point mass; components have 0


def intensities(
    values: Integer[Array | np.ndarray, "*shape"], levels: int, dtype: DTypeLike = jnp.float32
) -> Float[Array, "*shape"]:
    """Scales levels to intensities in [-1, 1]."""
    return jnp.asarray(values).astype(dtype) * (2 / (levels - 1)) - 1


def log_probs_of(logits: Float[Array, "*subpixels levels"], values: Values) -> Float[Array, "*subpixels"]:
    """Computes log-probabilities under a softmax, in nats, in float32 or better."""
    logits = promoted(logits)
    logit = jnp.take_along_axis(logits, values.astype(jnp.int32)[..., None], axis=-1)[..., 0]
    return logit - jax.nn.logsumexp(logits, axis=-1)


def accumulation_dtype(dtype: DTypeLike) -> DTypeLike:
    """Promotes half precision to float32."""
    return jnp.float32 if jnp.dtype(dtype).itemsize < 4 else dtype


def promoted(logits: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Casts half-precision logits to float32."""
    return logits.astype(accumulation_dtype(logits.dtype))


class Mixture(NamedTuple):
    """Mixture of logistics over intensities in [-1, 1] (1701.05517, section 2.1).

    Attributes:
      log_weights: components, then optional point masses at the lowest and highest level.
      means: of the components.
      log_scales: of the components.
    """

    log_weights: Float[Array, "*subpixels weights"]
    means: Float[Array, "*subpixels components"]
    log_scales: Float[Array, "*subpixels components"]


def min_log_scale(levels: int) -> float:
    """Computes the smallest log-scale, a multiple of 1/64: nearly all mass in one of max(256, ``levels``) levels."""
    return -7.0 - math.floor(64 * math.log(max(1.0, (levels - 1) / 255))) / 64


def mixture_of(numbers: Float[Array, "*subpixels numbers"], *, levels: int = 256) -> Mixture:
    """Builds a mixture from a head's outputs; zeros give a nearly uniform one."""
    count = numbers.shape[-1] // 3
    weights, means, scales, ends = jnp.split(numbers, (count, 2 * count, 3 * count), axis=-1)
    centres = centres_of(count).reshape((1,) * (numbers.ndim - 1) + (count,))
    return Mixture(
        log_weights=jax.nn.log_softmax(jnp.concatenate([weights, ends + MIN_LOG_WEIGHT], axis=-1)),
        means=means + centres.astype(numbers.dtype),
        log_scales=jnp.clip(scales - math.log(2 * count), min_log_scale(levels), MAX_LOG_SCALE),
    )


def centres_of(count: int) -> Float[np.ndarray, " components"]:
    """Computes evenly spaced initial means."""
    return (2 * np.arange(count) + 1) / count - 1


def neighbours(x: Float[Array, "batch height width channels"]) -> list[Float[Array, "batch height width channels"]]:
    """Shifts the pixels left, above, and above left into place, zero-padded."""
    padded = jnp.pad(x, ((0, 0), (1, 0), (1, 0), (0, 0)))
    return [padded[:, 1:, :-1], padded[:, :-1, 1:], padded[:, :-1, :-1]]


def differences(x: Float[Array, "*pixels channels"], around: list[Array]) -> Float[Array, "*pixels channels terms"]:
    """Computes the terms of the linear prediction, doubled to keep integers exact.

    The first term is left + above, which is twice the mean of both. The other terms have coefficients: left - above,
    and the errors of this mean at the corner and in the earlier channels.
    """
    left, above, corner = around
    twice, channels = left + above, x.shape[-1]
    earlier = np.tri(channels, channels - 1, -1, dtype=bool).reshape((1,) * (x.ndim - 1) + (channels, channels - 1))
    errors = jnp.where(earlier, (2 * x - twice)[..., None, :-1], 0.0)
    return jnp.concatenate([jnp.stack([twice, left - above, 2 * corner - twice], axis=-1), errors], axis=-1)


def split_coefficients(
    outputs: Float[Array, "*subpixels outputs"], terms: Float[Array, "*subpixels terms"], components: int
) -> tuple[Float[Array, "*subpixels numbers"], Float[Array, "*subpixels coefficients components"]]:
    """Splits a head's outputs into mixture parameters and prediction coefficients."""
    shape = *outputs.shape[:-1], terms.shape[-1] - 1, components
    numbers, coefficients = jnp.split(outputs, (outputs.shape[-1] - shape[-2] * components,), axis=-1)
    return numbers, coefficients.reshape(shape)


@jax.jit(static_argnames="components", inline=True)
def add_linear_prediction(
    outputs: Float[Array, "*subpixels outputs"], terms: Float[Array, "*subpixels terms"], *, components: int
) -> Float[Array, "*subpixels numbers"]:
    """Centres a mixture on a linear prediction.

    Args:
      outputs: mixture parameters relative to the prediction, then its coefficients.
      terms: from ``differences``.
    """
    *subpixels, count = terms.shape
    terms = terms.reshape(-1, count)  # jaxlib 0.10.2 crashes with seven axes (jax issue 40412)
    numbers, coefficients = split_coefficients(outputs.reshape(len(terms), outputs.shape[-1]), terms, components)
    twice = terms[..., :1] + jnp.sum(coefficients * terms[..., 1:, None], axis=-2)
    nearer = ((NARROWED - 1) * centres_of(components)).astype(twice.dtype)[None]
    return numbers.at[..., components : 2 * components].add(twice / 2 + nearer).reshape(*subpixels, numbers.shape[-1])


def mixture_log_probs(
    numbers: Float[Array, "*#subpixels numbers"], values: Values, *, levels: int
) -> Float[Array, "*#subpixels"]:
    """Computes log-probabilities under a discretised logistic mixture, in nats.

    The end levels hold the tails. Other masses are sigmoid(a) sigmoid(-b) (1 - exp(b - a)), stable far from the means.
    """
    mixture = mixture_of(numbers, levels=levels)
    values = jnp.asarray(values).astype(jnp.int32)[..., None]  # uint8 cannot hold 256
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
    """Computes the log-probabilities of all levels.

    Probabilities are at least the smallest normal float, and have no gradient there, so train with
    ``mixture_log_probs``.
    """
    *subpixels, count = numbers.shape
    numbers = numbers.reshape(-1, count)  # jaxlib 0.10.2 crashes with eight axes (jax issue 40412)
    mixture = mixture_of(numbers, levels=levels)
    weights, ends = jnp.split(jnp.exp(mixture.log_weights), mixture.means.shape[-1:], axis=-1)
    rate, half = jnp.exp(-mixture.log_scales)[..., None], 1 / (levels - 1)
    values = np.arange(levels - 1).reshape((1,) * numbers.ndim + (levels - 1,))  # all but the last have an upper edge
    at = rate * (intensities(values, levels, numbers.dtype) + half - mixture.means[..., None])
    below, above = jax.nn.sigmoid(at), jax.nn.sigmoid(-at)
    inside = -jnp.expm1(-2 * half * rate) * below[..., 1:] * above[..., :-1]
    masses = jnp.concatenate([below[..., :1], inside, above[..., -1:]], axis=-1)
    probabilities = (weights[..., None] * masses).sum(axis=-2)
    if ends.shape[-1]:
        probabilities = probabilities.at[..., :: levels - 1].add(ends)
    return jnp.log(jnp.maximum(probabilities, jnp.finfo(probabilities.dtype).tiny)).reshape(*subpixels, levels)


def gumbel_noise(
    keys: Key[Array, " batch"], row: Int[Array, ""] | int, *, width: int, channels: int, levels: int
) -> Float[Array, "batch width channels groups_and_members"]:
    """Draws the Gumbel noise of a row in float32, a function of image key and row only."""
    shape = (width, channels, sum(_square(levels)))

    def draw(key: Key[Array, ""]) -> Float[Array, " numbers"]:
        # Flat: of short axes XLA on CPU unrolls each, which takes seconds to compile.
        return jax.random.gumbel(jax.random.fold_in(key, row), (math.prod(shape),), jnp.float32)

    return jax.vmap(draw)(keys).reshape(-1, *shape)


def gumbel_max(
    logits: Float[Array, "batch levels"], gumbel: Float[Array, "batch groups_and_members"]
) -> Int[Array, " batch"]:
    """Samples by Gumbel-max in two exact steps, group then level; -1 if a logit is NaN or plus infinity.

    For 256 levels, it takes only 32 random numbers: 16 for the group, 16 for the member.
    """
    groups, members = _square(levels := logits.shape[-1])
    padded = jnp.pad(promoted(logits), ((0, 0), (0, groups * members - levels)), constant_values=-jnp.inf)
    gumbel = gumbel.astype(padded.dtype)
    square = padded.reshape(-1, groups, members)
    shares = jnp.exp(square - jnp.max(square, axis=(1, 2), keepdims=True)).sum(axis=-1)
    group = jnp.argmax(jnp.log(shares) + gumbel[:, :groups], axis=-1)
    within = jnp.take_along_axis(square, group[:, None, None], axis=1)[:, 0]
    level = group * members + jnp.argmax(within + gumbel[:, groups:], axis=-1)
    return jnp.where(jnp.isnan(shares).any(axis=-1), -1, level)


def _square(levels: int) -> tuple[int, int]:
    members = math.isqrt(levels - 1) + 1
    return -(-levels // members), members
