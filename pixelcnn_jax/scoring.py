"""The likelihood of any number of images, with its uncertainty."""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import numpy as np
from jaxtyping import Array, Float

from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.likelihood import Evaluation, nats, summarise
from pixelcnn_jax.models.autoregressive import Network
from pixelcnn_jax.models.conditioning.conditional import ConditionalModel, as_vectors, resolve
from pixelcnn_jax.models.inputs import Given, ImageSpec, Map, Variables, as_images, as_rows


def evaluate(
    model: nn.Module | ConditionalModel,
    variables: Variables,
    images: np.ndarray | Array,
    *,
    h: Given | None = None,
    s: Map | None = None,
    batch_size: int = 64,
) -> Evaluation:
    """Returns the mean of -log p(x | h, s) over images, exact, with its 95 % confidence interval.

    All batches have the same size, so that one program is compiled. The last batch is padded with copies that are not
    counted. Products have the full precision of their type, even on a GPU or TPU. After two seconds, a progress bar
    appears on a terminal or in a notebook.

    Args:
      model: a model of this package, or any module that maps images to logits.
      variables: its variables.
      images: integers 0 to ``model.levels - 1``, or bool, [count, height, width] or [count, height, width, channels],
        as ``fit`` takes them.
      h: vectors [batch, condition], or class labels [batch] in place of one-hot vectors, for a model made with one.
      s: maps [batch, height, width, map_features], for a model made with one.
      batch_size: images per batch, over all devices; rounded up to a multiple of the number of devices.

    Raises:
      InputError: for images, h or s that do not fit the model, or differ in number.
    """
    from pixelcnn_jax.data.images import Dataset  # these are slow to import
    from pixelcnn_jax.training.evaluation import in_full_precision

    pixels = np.asarray(as_images(images, channels=model.channels, levels=model.levels))
    count = len(pixels)
    given = given_rows(count, h, s)
    if isinstance(model, Network) and "h" in given:
        given["h"] = np.asarray(as_vectors(variables, given["h"]))
    resolve(model, variables, *(given[x][:1] if x in given else None for x in "hs"), shape=(1, *pixels.shape[1:]))
    height, width, channels = pixels.shape[1:]
    spec = ImageSpec(height, width, channels, model.levels)
    dataset = Dataset(lambda i: {"image": pixels[i]}, count, spec, "images").carry(**given)
    return summarise(in_full_precision(_nats_of(model, min(batch_size, count)), variables, dataset), spec)


def given_rows(count: int, h: Any, s: Any) -> dict[str, np.ndarray]:
    """Collects those of h and s that are given, with a row for each image. Raises as ``as_rows``, and for no images."""
    if not count:
        raise InputError("images must hold at least one image, got none.")
    return {name: np.asarray(as_rows(name, x, count)) for name, x in (("h", h), ("s", s)) if x is not None}


@functools.lru_cache(maxsize=8)
def _nats_of(model: Any, batch_size: int) -> Callable[..., Float[np.ndarray, " count"]]:
    """Returns what scores data sets, compiled once for equal models."""
    from pixelcnn_jax.training.evaluation import make_evaluator

    return make_evaluator(
        lambda params, batch: nats(model, params, batch["image"], h=batch.get("h"), s=batch.get("s")),
        batch_size=batch_size,
    )
