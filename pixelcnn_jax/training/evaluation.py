"""Per-image values over a whole split: no image dropped, none counted twice."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from pixelcnn_jax.data.batches import evaluation_batches
from pixelcnn_jax.data.dataset import Dataset
from pixelcnn_jax.foundation.devices import data_mesh, replicated, shard_batch, wait_for_older
from pixelcnn_jax.likelihood import nats_to_bits_per_dim, summarise
from pixelcnn_jax.training.experiment import LIKELIHOOD, Batch, Params
from pixelcnn_jax.training.processes import own_rows
from pixelcnn_jax.training.progress import progress_bar
from pixelcnn_jax.training.step import microbatches

PerImage = Callable[[Params, Batch], Any]  # an array [batch, ...], or a tree of them


def make_evaluator(
    function: PerImage, *, batch_size: int, microbatch_size: int | None = None, shows: bool = True
) -> Callable[[Params, Dataset], Any]:
    """Compiles a per-image function for whole splits, on all devices.

    Args:
      function: ``params, batch -> values [batch, ...]``, an array or a tree of arrays, pure. The value of an image must
        not depend on the other images of its batch, unless ``microbatch_size`` is None.
      batch_size: images a batch, over all devices of all processes. It is rounded up to what the devices can share.
      microbatch_size: images computed at a time, likewise.
      shows: whether to show a progress bar where somebody is watching.

    Returns:
      ``params, dataset -> values [count, ...]``, as ``function`` has them, in the order of the data set.
    """
    mesh = data_mesh()
    shared = math.lcm(microbatch_size or 1, mesh.size)
    batch_size = -(-batch_size // shared) * shared

    def whole_batch(params: Params, batch: Batch) -> Any:
        parts = microbatches(batch, microbatch_size and shared)
        if len(next(iter(parts.values()))) == 1:
            return function(params, batch)
        values = jax.lax.map(lambda part: function(params, part), parts)
        return jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1).reshape(-1, *x.shape[2:]), values)

    compiled = jax.jit(whole_batch, out_shardings=replicated(mesh))

    def over_split(params: Params, dataset: Dataset) -> Any:
        values: list[Any] = []
        total, title = -(-len(dataset) // batch_size), f"scoring {dataset.description}"
        batches = evaluation_batches(dataset, batch_size=batch_size, **own_rows())
        for batch in progress_bar(batches, title, shown=shows, total=total, delay=2, leave=False):
            # The mask only marks the end of the last batch, which may lie in a different process's rows.
            rows = {name: x for name, x in batch.items() if name != "mask"}
            values.append(compiled(params, shard_batch(mesh, rows)))
            wait_for_older(values)
        return jax.tree.map(lambda *parts: np.concatenate(parts)[: len(dataset)], *values)

    return over_split


def in_full_precision(losses_of: Callable[[Params, Dataset], Any], params: Params, dataset: Dataset) -> Any:
    """Returns the values of a data set as a table prints them: a GPU or TPU would multiply float32 in fewer bits."""
    with jax.default_matmul_precision("highest"):
        return losses_of(jax.device_put(params, replicated(data_mesh())), dataset)


def score(losses: Float[np.ndarray, " count"], dataset: Dataset, *, measure: str = LIKELIHOOD) -> dict[str, Any]:
    """Returns the mean loss of a split as it is printed: in nats an image and bits/dim, or in its own measure."""
    if measure != LIKELIHOOD:
        result = {measure: float(np.mean(losses, dtype=np.float64))}
    else:
        summary = summarise(losses, dataset.spec)
        result = {"nats": summary.nats, LIKELIHOOD: summary.bits_per_dim}
    return {"data": dataset.description, "images": len(losses)} | result


def score_of_mean(mean: float, dataset: Dataset, *, measure: str) -> dict[str, Any]:
    """Returns the score of a split whose mean loss is known, in bits/dim or in its own measure."""
    nats = {"nats": mean / nats_to_bits_per_dim(1.0, dataset.spec.shape)} if measure == LIKELIHOOD else {}
    return {"data": dataset.description, "images": len(dataset)} | nats | {measure: mean}
