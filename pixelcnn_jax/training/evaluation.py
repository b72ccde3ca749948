"""Exact likelihood of a data set."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pixelcnn_jax.data.batches import evaluation_batches
from pixelcnn_jax.data.dataset import Dataset
from pixelcnn_jax.foundation.devices import data_mesh, replicated, shard_batch, wait_for_older
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.foundation.progress import progress_bar
from pixelcnn_jax.likelihood import nats_to_bits_per_dim, nll
from pixelcnn_jax.models.autoregressive import Network
from pixelcnn_jax.models.checks import NOT_FINITE, as_array, as_images, as_rows
from pixelcnn_jax.models.conditioning.conditional_model import apply_conditioner, as_vectors
from pixelcnn_jax.models.inputs import Condition, ConditionLike, ImageSpec, Map, Variables
from pixelcnn_jax.training.config import RunConfig
from pixelcnn_jax.training.experiment import LIKELIHOOD, Batch, Experiment, Params
from pixelcnn_jax.training.processes import own_rows

Scorer = Callable[..., dict[str, Any]]  # params, dataset, optional check -> mean loss of a split; see make_evaluator
PerImage = Callable[[Params, Batch], Any]  # an array [batch, ...], or a pytree

QUANTILE = 1.959964  # 97.5 % of the standard normal


class Evaluation(NamedTuple):
    """The likelihood of a set of images, as ``evaluate`` returns it.

    The standard error and the interval say how much the mean would differ for other images of the same kind. They do
    not say how much it would differ if you trained again. They are too small if the images are not independent, for
    example if they are patches of one image. The interval is also too small if there are fewer than about 20 images.

    Attributes:
      nats: Mean of -log p(x | h, s) over the images, in nats per image.
      bits_per_dim: The same in bits per sub-pixel.
      standard_error: Standard error of ``nats``; infinite for a single image.
      interval: Lower and upper end of the 95 % interval of ``nats``.
      images: Number of images.
    """

    nats: float
    bits_per_dim: float
    standard_error: float
    interval: tuple[float, float]
    images: int


def evaluate(
    model: nn.Module,
    variables: Variables,
    images: np.ndarray | Array,
    *,
    h: ConditionLike | None = None,
    s: Map | None = None,
    batch_size: int = 64,
) -> Evaluation:
    """Computes the mean negative log-likelihood of a set of images, with a 95 % interval.

    Every image is scored once, in batches over all devices. Products of float32 matrices have full precision, also on a
    GPU or TPU, where JAX's default is lower.

    Args:
      model: A network of this package, a ``ConditionalModel``, or any Linen module that maps images to logits and has
        the fields ``levels`` and ``channels``.
      variables: Its variables, as from ``model.init``, ``fit`` or ``load_pretrained``.
      images: Integers 0 to ``model.levels - 1``, or bool, of shape [count, height, width, channels]; the last axis may
        be missing if there is one channel.
      h: The condition, one row per image: vectors [count, condition] or class labels [count]. Pass labels as integers,
        which are converted to one-hot vectors for a network of this package; your own network gets them as int32. For a
        ``ConditionalModel``, pass what its conditioner reads. None for a model without a condition.
      s: Maps [count, height, width, map_features]; None for a model without maps.
      batch_size: Number of images at a time, rounded up to a multiple of the number of devices.

    Returns:
      The mean in nats per image and in bits/dim, its standard error and its interval.

    Raises:
      InputError: If images, h or s do not fit the model or differ in number, or a likelihood is NaN.

    Example:
      >>> from sklearn.datasets import load_digits
      >>> from pixelcnn_jax import evaluate, load_pretrained
      >>> model, variables, _ = load_pretrained("digits")
      >>> score = evaluate(model, variables, load_digits().images[1350:].astype(int))
      >>> print(f"{score.bits_per_dim:.3f} bits/dim, {score.nats:.1f} ± {1.96 * score.standard_error:.1f} nats")
      1.764 bits/dim, 78.3 ± 0.9 nats
    """
    return summarise(*nats_of_images(model, variables, images, h=h, s=s, batch_size=batch_size))


def nats_of_images(
    model: nn.Module, variables: Variables, images: Any, *, h: Any = None, s: Any = None, batch_size: int
) -> tuple[Float[np.ndarray, " count"], ImageSpec]:
    """Computes the nats of each image, and the format of the images; arguments and errors as of ``evaluate``."""
    pixels = np.asarray(as_images(images, channels=model.channels, levels=model.levels))
    count = len(pixels)
    condition = given_rows(count, h, s)
    if isinstance(model, Network) and "h" in condition:
        condition["h"] = np.asarray(as_vectors(model, variables, condition["h"]))
        model.check_given(Condition(condition["h"]))
    h, s = (extreme_rows(condition[x]) if x in condition else None for x in "hs")  # checked before they are traced
    apply_conditioner(model, variables, h, s, shape=(2 if condition else count, *pixels.shape[1:]))
    spec = ImageSpec(pixels.shape[1], pixels.shape[2], model.channels, model.levels)
    dataset = Dataset(lambda i: {"image": pixels[i]}, count, spec, "images").with_arrays(**condition)
    return finite_values(_nats_of(model, max(1, min(batch_size, count))), variables, dataset), spec


def given_rows(count: int, h: Any, s: Any) -> dict[str, np.ndarray]:
    """Collects h and s, one row per image.

    Raises:
      InputError: without images, or for rows that differ in number.
    """
    if not count:
        raise InputError("images must hold at least one image, got none.")
    return {name: np.asarray(as_rows(name, x, count)) for name, x in (("h", h), ("s", s)) if x is not None}


def extreme_rows(x: np.ndarray) -> np.ndarray:
    """Selects the rows that hold the smallest and the largest value: if these are in range, all are."""
    return x[[index // x[0].size for index in (x.argmin(), x.argmax())] if x.size else [0, 0]]


@functools.lru_cache(maxsize=8)
def _nats_of(model: Any, batch_size: int) -> Callable[..., Float[np.ndarray, " count"]]:
    return make_evaluator(lambda p, b: nll(model, p, b["image"], h=b.get("h"), s=b.get("s")), batch_size=batch_size)


def summarise(losses: Float[np.ndarray, " count"], spec: ImageSpec) -> Evaluation:
    """Summarises nats per image as an ``Evaluation``."""
    losses = losses.astype(np.float64)
    mean, count = float(losses.mean()), len(losses)
    error = float(losses.std(ddof=1)) / count**0.5 if count > 1 else float("inf")
    half = QUANTILE * error
    return Evaluation(mean, nats_to_bits_per_dim(mean, spec.shape), error, (mean - half, mean + half), count)


def make_evaluator(
    function: PerImage, *, batch_size: int, microbatch_size: int | None = None, shows: bool = True
) -> Callable[..., Any]:
    """Compiles a per-image function for whole splits, on all devices, with full matmul precision.

    Args:
      function: pure ``params, batch -> values [batch, ...]``, an array or a pytree. With microbatches, the value of an
        image must not depend on the rest of its batch.
      batch_size: images per batch over all processes, rounded up to a multiple of the devices times the microbatch
        size.
      microbatch_size: images at a time on each device.
      shows: show a progress bar.

    Returns:
      ``params, dataset -> values [count, ...]``, in order. An optional third argument is a function without arguments,
      which is called before each batch, and may raise an error to stop.
    """
    mesh = data_mesh()
    part_size = (microbatch_size or 1) * mesh.size
    batch_size = -(-batch_size // part_size) * part_size

    def whole_batch(params: Params, batch: Batch) -> Any:
        if microbatch_size is None:
            return function(params, batch)
        # Interleaved, which keeps the sharding.
        parts = jax.tree.map(lambda x: jnp.moveaxis(x.reshape(part_size, -1, *x.shape[1:]), 1, 0), batch)
        values = jax.lax.map(lambda part: function(params, part), parts)
        return jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1).reshape(-1, *x.shape[2:]), values)

    compiled = jax.jit(whole_batch, out_shardings=replicated(mesh))

    def over_split(params: Params, dataset: Dataset, check: Callable[[], None] = lambda: None) -> Any:
        values: list[Any] = []
        total, title = -(-len(dataset) // batch_size), f"scoring {dataset.description}"
        batches = evaluation_batches(dataset, batch_size=batch_size, **own_rows())
        for batch in progress_bar(batches, title, shown=shows, total=total, delay=2, leave=False):
            check()
            with jax.default_matmul_precision("highest"):  # float32 on any device
                values.append(compiled(params, shard_batch(mesh, batch)))
            wait_for_older(values)
        return jax.tree.map(lambda *parts: np.concatenate(parts)[: len(dataset)], *values)

    return over_split


def per_image(config: RunConfig, function: PerImage, *, shows: bool = True) -> Callable[..., Any]:
    """Compiles a per-image function for whole splits, with the config's batch sizes."""
    size, micro = config.train.eval_batch_size, config.train.microbatch_size
    return make_evaluator(function, batch_size=size, microbatch_size=micro, shows=shows)


def make_scorer(config: RunConfig, experiment: Experiment, *, shows: bool = True) -> Scorer:
    """Compiles the mean loss of a split."""
    losses = per_image(config, lambda params, batch: experiment.loss(params, batch, None), shows=shows)
    return lambda params, dataset, *check: score(losses(params, dataset, *check), dataset, measure=experiment.measure)


def finite_values(losses_of: Callable[[Params, Dataset], Any], params: Params, dataset: Dataset) -> Any:
    """Computes the values of a data set; raises InputError for NaN."""
    values = losses_of(jax.device_put(jax.tree.map(as_array, params), replicated(data_mesh())), dataset)
    if any(np.isnan(x).any() for x in jax.tree.leaves(values)):
        raise InputError(NOT_FINITE)
    return values


def score(losses: Float[np.ndarray, " count"], dataset: Dataset, *, measure: str = LIKELIHOOD) -> dict[str, Any]:
    """Averages losses, in nats and bits/dim or the experiment's own measure."""
    if measure != LIKELIHOOD:
        result = {measure: float(np.mean(losses, dtype=np.float64))}
    else:
        summary = summarise(losses, dataset.spec)
        result = {"nats": summary.nats, LIKELIHOOD: summary.bits_per_dim}
    return {"data": dataset.description, "images": len(losses)} | result
