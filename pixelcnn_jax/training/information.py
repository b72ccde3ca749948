"""Information in measurements: I(X; Y) = H(Y) - H(Y | X) in bits per pixel."""

import math
from typing import Any, NamedTuple

import flax.linen as nn
import numpy as np
from jaxtyping import Array, Float, Shaped

from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.checks import with_channels
from pixelcnn_jax.models.inputs import Variables
from pixelcnn_jax.training.evaluation import nats_of_images

RESAMPLES = 1000  # of the images, for the interval


class Information(NamedTuple):
    """The information that measurements Y hold about what was measured, X, as ``information`` returns it.

    All entropies are in bits per pixel, summed over the channels of a pixel.

    The interval says how much ``bits`` would differ for other images of the same kind. It is too narrow if the images
    are not independent, for example if they are patches of one image, or if there are fewer than about 20. It does not
    include the error of the model either. An imperfect model finds the measurements less predictable than they are, so
    on average ``entropy``, and therefore ``bits``, is an upper bound.

    Attributes:
      bits: Estimate of I(X; Y), ``entropy - noise_entropy``.
      interval: Lower and upper end of the 95 % interval of ``bits``; infinite for a single image.
      entropy: Estimate of H(Y), the mean of -log2 p(y) over the images; on average an upper bound.
      noise_entropy: H(Y | X), the mean entropy of the noise; estimated if there were no noiseless images.
      images: Number of images.
    """

    bits: float
    interval: tuple[float, float]
    entropy: float
    noise_entropy: float
    images: int


def information(
    model: nn.Module,
    variables: Variables,
    images: np.ndarray | Array,
    *,
    noise: Any,
    clean: Shaped[np.ndarray | Array, "count height width *channels"] | None = None,
    batch_size: int = 64,
) -> Information:
    """Estimates the information that noisy images Y hold about the noiseless ones X, with a 95 % interval.

    The information is I(X; Y) = H(Y) - H(Y | X). The entropy H(Y) of the measurements is computed as the mean of -log2
    p(y) under ``model``. The entropy H(Y | X) is that of the noise. The interval is a bootstrap interval: images are
    drawn with replacement many times, and each draw gives a difference of the two mean entropies.

    Args:
      model: A model of the noisy images, trained on other images than those given here.
      variables: Its variables, as from ``fit`` or ``load_pretrained``.
      images: Measurements, integers 0 to ``model.levels - 1``, or bool, of shape [count, height, width, channels]; the
        last axis may be missing if there is one channel. ``pixelcnn_jax.noise.as_counts`` quantises floats.
      noise: The noise of the measurements: ``Poisson``, ``Gaussian`` or ``BernoulliFlips`` of ``pixelcnn_jax.noise``,
        or an object of your own. It needs the method ``entropy(clean)`` or, if ``clean`` is None, ``estimate(images)``.
        Both return the entropy of each measured sub-pixel in nats.
      clean: The noiseless images X in levels, of the shape of ``images``. If you do not have them, leave it None: H(Y |
        X) is then estimated from the measurements, by the method ``estimate`` of the noise. For ``Gaussian`` and
        ``BernoulliFlips``, this makes no difference, because they compute the entropy without the values of the image.
        For ``Poisson``, the estimate has a small bias (see ``Poisson.estimate``).
      batch_size: Number of images at a time, rounded up to a multiple of the number of devices.

    Returns:
      The information in bits per pixel, its interval and both entropies.

    Raises:
      InputError: If images do not fit the model, ``clean`` differs in shape, a likelihood is NaN, or an entropy of the
        noise is not finite.

    Example:
      >>> import numpy as np
      >>> from pixelcnn_jax import fit, information
      >>> from pixelcnn_jax.zoo.registry import ModelConfig
      >>> from pixelcnn_jax.noise import BernoulliFlips
      >>> random = np.random.default_rng(0)
      >>> clean = np.repeat(random.random((1200, 4, 1)) < 0.5, 4, axis=2)  # rows of one colour
      >>> noisy = clean ^ (random.random(clean.shape) < 0.1)
      >>> small = ModelConfig(features=8, layers=1)
      >>> model, variables, _ = fit(small, noisy[:1000], steps=200, progress=False)
      >>> found = information(model, variables, noisy[1000:], noise=BernoulliFlips(0.1))
      >>> print(f"{found.bits:.2f} bits per pixel, noise {found.noise_entropy:.2f}")
      0.24 bits per pixel, noise 0.47
    """
    nats, spec = nats_of_images(model, variables, images, batch_size=batch_size)
    shape = (len(nats), *spec.shape)
    entropy, known, name = (noise.estimate, images, "images") if clean is None else (noise.entropy, clean, "clean")
    noise_nats = np.asarray(entropy(np.asarray(with_channels(known, spec.channels, name=name))), np.float64)
    to_bits = 1 / (spec.height * spec.width * math.log(2))
    if noise_nats.shape != shape or not np.isfinite(noise_nats).all():
        wanted = f"The entropy of the noise must be finite and of shape {[*shape]}"
        raise InputError(f"{wanted}, got {[*noise_nats.shape]}; so must clean, which must not be negative for Poisson.")
    entropies = np.stack([nats.astype(np.float64), noise_nats.sum(axis=(1, 2, 3))]) * to_bits
    total, of_noise = entropies.mean(axis=1).tolist()
    return Information(total - of_noise, _interval(entropies[0] - entropies[1]), total, of_noise, len(nats))


def _interval(values: Float[np.ndarray, " count"]) -> tuple[float, float]:
    """Computes the 95 % bootstrap interval of a mean."""
    count, random = len(values), np.random.default_rng(0)
    if count == 1:
        return -math.inf, math.inf
    means = [values[random.integers(count, size=count)].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, (0.025, 0.975)).tolist()
    return low, high
