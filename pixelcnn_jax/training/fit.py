"""Training on arrays in one call."""

import dataclasses
import hashlib
import json
import sys
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key

from pixelcnn_jax.data.arrays import channels_of
from pixelcnn_jax.data.dataset import Dataset, stack
from pixelcnn_jax.data.loading import Splits
from pixelcnn_jax.foundation.devices import check_batch_size, data_mesh
from pixelcnn_jax.foundation.errors import InputError, require
from pixelcnn_jax.foundation.fields import field
from pixelcnn_jax.foundation.progress import in_notebook
from pixelcnn_jax.likelihood import nll
from pixelcnn_jax.models.autoregressive import Network
from pixelcnn_jax.models.checks import as_array, as_images, check_values
from pixelcnn_jax.models.conditioning.conditional_model import ConditionalModel
from pixelcnn_jax.models.declarations import condition_sizes
from pixelcnn_jax.models.inputs import MAX_CLASSES, ConditionLike, ImageSpec, Map, RandomKeys, Variables, params_of
from pixelcnn_jax.training.best import BestModel
from pixelcnn_jax.training.config import RunConfig, parse_config
from pixelcnn_jax.training.evaluation import extreme_rows, given_rows, make_scorer
from pixelcnn_jax.training.experiment import Batch, Experiment, Params
from pixelcnn_jax.training.loop import Loop
from pixelcnn_jax.training.workdir import open_workdir
from pixelcnn_jax.zoo.pretrained import density_of
from pixelcnn_jax.zoo.registry import ModelConfig, describe, make_network

LEVELS = {"bool": 2, "uint8": 2**8, "uint16": 2**16}
SOFTMAX_LEVELS = 32  # beyond, a mixture of logistics learns faster
DROPOUT_EPOCHS = 10  # epochs from which the default network has dropout, against overfitting


class Fitted(NamedTuple):
    """A trained model, as ``fit`` returns it.

    Attributes:
      model: The model. If its ``dtype`` was bfloat16 or float16, this is a copy that computes in float32.
      variables: Its variables: the moving average of the parameters (EMA) at the best validation.
      history: One dict per record, with "step" and "seconds". The records of training have "train_bits_per_dim" and
        "gradient_norm" (means since the last record), "images_per_second", "learning_rate", and "skipped" (the number
        of steps that the means leave out because their gradient was not finite). Those of a validation have
        "validation_bits_per_dim".
    """

    model: Any
    variables: dict[str, Any]
    history: list[dict[str, int | float]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FitConfig:
    """Arguments of ``fit`` that a resumed call must repeat."""

    arguments: Mapping[str, Any] | None = field(None, "values of the arguments by name, arrays as their digests")


def fit(
    model: nn.Module | ModelConfig | None,
    images: np.ndarray | Array,
    *,
    h: ConditionLike | None = None,
    s: Map | None = None,
    levels: int | None = None,
    validation: float | np.ndarray | Array = 0.1,
    steps: int = 2000,
    key: RandomKeys | None = None,
    variables: Variables | None = None,
    batch_size: int = 32,
    microbatch_size: int | None = None,
    learning_rate: float = 1e-2,
    ema_decay: float = 0.99,
    eval_every: int | None = None,
    workdir: str | Path | None = None,
    progress: bool = True,
) -> Fitted:
    """Trains a model of p(x), or of p(x | h, s), on an array of images.

    The optimizer is Muon, with Adam for biases and embeddings. Gradients are clipped to a global norm of 1. The
    learning rate rises over the first steps and then follows a cosine to zero. At regular intervals, ``fit`` scores an
    exponential moving average (EMA) of the parameters on held-out images, and it returns the average with the best
    score. On one machine, identical calls with the same number of devices and CPU cores give bit-identical results.

    Args:
      model: None chooses a ``GatedPixelCNN`` with ``layers=8`` and ``features=32`` (more if the images have more than
        32 channels). It predicts a softmax for up to 32 levels, and for more levels a mixture of 8 logistics with point
        masses. Its dropout is 0.2 if training takes more than ten epochs, and otherwise 0. To choose the size yourself,
        pass a ``pixelcnn_jax.zoo.registry.ModelConfig``. It has the attributes of a network except levels and channels,
        which follow from the images. Or pass a network of this package, a ``ConditionalModel``, or any Linen module
        that maps images to logits and has the fields ``levels`` and ``channels``.
      images: Integers 0 to ``levels - 1``, or bool, of shape [count, height, width, channels] or, for one channel,
        [count, height, width].
      h: The condition, one row per image: vectors [count, condition] of any dtype, or class labels [count], integers or
        bool. A network of this package gets labels as one-hot vectors, and one of your own gets them as int32. A
        ``ConditionalModel`` takes what its conditioner reads. None for p(x).
      s: Maps [count, height, width, map_features]; None for a model without maps.
      levels: Number of intensity levels of a sub-pixel. None takes the field ``levels`` of the model or, if it has no
        such field, the number that fits the dtype: 2 for bool, 256 for uint8 and 65,536 for uint16. For images of other
        dtypes, you must pass the number.
      validation: The images to hold out for validation: a fraction of them (above 0 and below 1), which is chosen at
        random, or an array of indices, at least one.
      steps: Number of training steps. The learning rate falls to zero over all of them, so to train for less time,
        lower ``steps`` rather than interrupt.
      key: PRNG key that decides the initial parameters, the held-out images, the order of the images and dropout. None
        is ``jax.random.key(0)``.
      variables: Variables to start from, for example those of a published model; None draws new ones.
      batch_size: Number of images of a step. It must be a multiple of the number of devices or, with
        ``microbatch_size``, of the number of devices times ``microbatch_size``.
      microbatch_size: Number of images whose gradient a device computes at a time; the gradients are averaged over the
        batch. A small number saves memory. On a CPU, a small number (1 to 4, depending on the processor) is also
        fastest for images of 28x28 or more pixels. None computes the gradient of the whole batch at once.
      learning_rate: Largest learning rate of the schedule.
      ema_decay: Decay of the moving average, per step; it is lower in the first steps.
      eval_every: Number of steps between validations; None takes a tenth of ``steps``, at least 1.
      workdir: Folder for checkpoints, records and the best model, which ``load_pretrained(workdir)`` loads. None, the
        default, keeps nothing on disk. If the call is interrupted, repeat it to resume. On the same machine with the
        same number of cores, the result is then bit-identical to that of an uninterrupted call. If you change the code
        of a network of your own, choose a new folder, because ``fit`` cannot notice the change. A workdir needs the
        extra ``train`` (``pip install -e '.[train]'`` in a checkout), and Linux or macOS.
      progress: Whether to show progress, in a terminal or a notebook. Elsewhere no progress is printed, but the file
        metrics.jsonl in ``workdir`` has the records so far.

    Returns:
      The model, its variables, and the records of the training.

    Raises:
      InputError: If arguments do not fit each other, if the folder belongs to a different call, if a validation loss is
        not finite, or if the gradients of ten steps in a row are not finite.
      ``pixelcnn_jax.training.signals.Interrupted``: With a ``workdir``, after Ctrl-C or SIGTERM, once the state is
      saved.

    Example:
      >>> import jax
      >>> from sklearn.datasets import load_digits
      >>> from pixelcnn_jax import GatedPixelCNN, fit, sample
      >>> images = load_digits().images.astype(int)
      >>> network = GatedPixelCNN(levels=17, features=8, layers=2)  # small, for speed
      >>> model, variables, history = fit(network, images, steps=5, progress=False)
      >>> sample(model, variables, jax.random.key(0), shape=(2, 8, 8)).shape
      (2, 8, 8, 1)
    """
    if workdir is not None:
        require("orbax", extra="train", what="workdir")
    images = np.asarray(as_array(images))
    levels = _levels(images, levels, getattr(model, "levels", None))
    channels: Any = model.channels if isinstance(model, nn.Module) else channels_of(images)
    pixels = np.asarray(as_images(images, channels=channels, levels=levels))
    seed = int(jax.random.bits(jax.random.key(0) if key is None else key, dtype=jnp.uint32))
    held_out = _held_out(validation, len(images), seed)
    condition = given_rows(len(images), h, s)
    spec = ImageSpec(pixels.shape[1], pixels.shape[2], channels, levels)
    described = _described(model, spec, epochs=steps * batch_size / (len(images) - len(held_out)))
    network: Any = model if described is None else make_network(described, spec)
    hash(network)  # a field that is a list, for example, would stop later calls, after the training
    if isinstance(network, ConditionalModel) and "h" in condition:  # checks the values of h, later traced
        network.init(jax.random.key(0), extreme_rows(condition["h"]), 2, method="condition")
    spec = dataclasses.replace(spec, classes=_classes(network, condition.get("h"), variables))
    dataset = Dataset(lambda i: {"image": pixels[i]}, len(images), spec, "array").with_arrays(**condition)
    learned = np.setdiff1d(np.arange(len(images)), held_out)
    splits = Splits(dataset.take(learned, "the array"), dataset.take(held_out, "the images held out"))
    arrays = {} if workdir is None else dict(images=images, validation=held_out, variables=variables, **condition)
    identity: dict[str, Any] = {name: _digest(*jax.tree.leaves(x)) for name, x in arrays.items()}
    tenth = max(1, steps // 10)
    interval = tenth if eval_every is None else eval_every
    identity |= {"model": json.dumps(describe(network, defaults=False)), "key": seed, "eval_every": int(interval)}
    train = dict(steps=steps, batch_size=batch_size, microbatch_size=microbatch_size, ema_decay=ema_decay)
    train |= dict(eval_every=interval, checkpoint_every=min(interval, tenth), log_every=max(1, tenth // 4))
    train |= dict(eval_batch_size=min(64, 4 * batch_size))
    fields = {
        "experiment": "fit",
        "seed": seed,
        "fit": {"arguments": identity},
        "data": {"dataset": "array", "levels": levels, "labels": spec.classes is not None},
        "model": {} if described is None else vars(described),
        "optimizer": {"name": "muon", "learning_rate": learning_rate, "warmup_steps": min(100, tenth)},
        "train": train,
    }
    config = parse_config(fields, FitConfig, named=False)
    return _train(config, network, splits, variables, None if workdir is None else Path(workdir).expanduser(), progress)


def _levels(images: np.ndarray, stated: int | None, of_model: int | None) -> int:
    if images.dtype.kind not in "bui":
        raise InputError(
            f"images must be integers, got {images.dtype}: convert intensities from 0 to 1 with "
            "numpy.round(255 * images).astype(numpy.uint8)."
        )
    candidates = {stated, of_model} - {None} or {LEVELS.get(images.dtype.name)}
    if None in candidates or len(candidates) > 1:
        sources = f"levels={stated}, a model with {of_model} and images of {images.dtype}"
        raise InputError(f"levels must follow from the call, the model or the type of the images, got {sources}.")
    levels = int(candidates.pop() or 0)
    if stated is of_model is None and images.size and 8 * (used := max(2, int(images.max()) + 1)) <= levels:
        unused = f"{images.dtype} images can have {levels:,} levels, but the largest value here is {images.max()}"
        print(f"{unused}: if none can be larger, levels={used} gives a better likelihood.", file=sys.stderr)
    return levels


def _held_out(validation: Any, count: int, seed: int) -> Int[np.ndarray, " held_out"]:
    if np.ndim(validation):
        rows = np.unique(np.asarray(validation))
    else:
        size = max(round(validation * count), validation > 0)
        rows = np.sort(np.random.default_rng(seed).permutation(count)[:size])
    are_indices = rows.dtype.kind in "ui" and np.ndim(validation) < 3  # not images
    if not (are_indices and 0 < len(rows) < count and 0 <= rows[0] and rows[-1] < count):
        raise InputError(f"validation must be a fraction or some indices of {count} images, got {validation!r:.100}.")
    return rows


def _classes(model: Any, h: Any, variables: Variables | None) -> int | None:
    """Counts the classes of labels h to be one-hot encoded."""
    if not isinstance(model, Network) or h is None or h.ndim != 1 or h.dtype.kind not in "iu":
        return None
    trained = condition_sizes(model, params_of(variables)).get("h", 0) if variables else 0
    check_values(h, trained or MAX_CLASSES, name="h")
    return trained or int(h.max()) + 1


def _described(model: Any, spec: ImageSpec, *, epochs: float) -> ModelConfig | None:
    if model is not None:
        return model if isinstance(model, ModelConfig) else None
    features, many = max(32, spec.channels), spec.levels > SOFTMAX_LEVELS
    dropout = 0.2 if epochs > DROPOUT_EPOCHS else 0.0
    return ModelConfig(features=features, layers=8, dropout=dropout, mixture=8 * many, point_masses=many)


def _train(
    config: RunConfig, model: Any, splits: Splits, start: Variables | None, workdir: Path | None, progress: bool
) -> Fitted:
    check_batch_size(data_mesh(), config.train.batch_size, config.train.microbatch_size)
    experiment, exact = (_experiment(network, splits.train, start) for network in (model, _in_float32(model)))
    shows = progress and (in_notebook() or sys.stderr.isatty())
    scorer = make_scorer(config, exact, shows=shows)
    with nullcontext() if workdir is None else open_workdir(workdir, config, splits):
        best = BestModel(workdir, config, exact, {}, splits)
        metrics = Loop(config, experiment, splits, workdir, best, scorer, shows=shows).train_steps()
        return Fitted(exact.networks, jax.tree.map(jnp.asarray, best.params()), metrics.records)


def _experiment(model: Any, train: Dataset, start: Variables | None) -> Experiment:
    first, classes = stack([train.example(0)]), train.spec.classes

    def condition(batch: Mapping[str, Any]) -> dict[str, Any]:
        return {name: x for name, x in batch.items() if name in ("h", "s")}

    def init(key: Key[Array, ""]) -> Params:
        vectors = {"h": jax.nn.one_hot(first["h"], classes)} if classes else {}
        return dict(model.init(key, first["image"], **condition(first) | vectors) if start is None else start)

    def loss(params: Params, batch: Batch, key: Key[Array, ""] | None) -> Array:
        return nll(model, params, batch["image"], **condition(batch), key=key)

    density, facts = density_of(model, condition(first), classes), {"guidance": not isinstance(model, Network)}
    return Experiment(init, loss, lambda params, key, source: source, model, density=density, facts=facts)


def _in_float32(model: Any) -> Any:
    if isinstance(model, ConditionalModel):
        return model.clone(network=_in_float32(model.network))
    dtype = getattr(model, "dtype", None)
    return model if dtype is None or jnp.dtype(dtype).itemsize >= 4 else model.clone(dtype=jnp.float32)


def _digest(*arrays: Any) -> str:
    parts = (f"{x.dtype}{x.shape}".encode() + x.tobytes() for x in map(np.asarray, arrays))
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]
