"""Definition of an experiment."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Float, Int, Key

from pixelcnn_jax.data.dataset import Splits
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.inputs import ImageSpec, Variables
from pixelcnn_jax.training.config import RunConfig

LIKELIHOOD = "bits_per_dim"  # the measure of a loss that is a likelihood in nats

Params = Any  # pytree
Networks = dict[str, Any]  # named as in the parameter tree
# "image", int32 [batch, height, width, channels], and "label", int32 [batch], if labelled
Batch = Mapping[str, Array]
Figures = dict[str, Any]  # of a report, by name
Pictures = Int[Array | np.ndarray, "rows columns height width channels"]


class Experiment(NamedTuple):
    """A task as three pure functions.

    Attributes:
      init: ``key -> params``.
      loss: ``params, batch, key -> nats [batch]``; key is None in evaluation.
      sample: ``params, key, source -> images``, a grid.
      networks: the network, or a dict of them as in the parameter tree.
      measure: name of the loss. "bits_per_dim", the default, divides a likelihood in nats by all sub-pixels of an
        image; a loss that scores only some of them is "nats".
      density: name of the density.
      caption: caption of the sample grid.
    """

    init: Callable[[Key[Array, ""]], Params]
    loss: Callable[[Params, Batch, Key[Array, ""] | None], Float[Array, " batch"]]
    sample: Callable[[Params, Key[Array, ""], Any], Pictures]
    networks: Any
    measure: str = LIKELIHOOD
    density: str = "p(x)"
    caption: str = "Samples."


@dataclass(frozen=True, kw_only=True)
class NoFields:
    """No fields."""


class Recipe(NamedTuple):
    """The attributes of a module of ``experiments``.

    Attributes:
      make_experiment: ``config, spec, fixed -> Experiment``; ``fixed`` is None where only shapes matter.
      check: ``config, splits -> None``; raises InputError before training.
      prepare: ``config, splits -> fixed``, variables fitted before training, e.g. a quantiser's.
      picture_source: ``config, splits -> source`` of ``Experiment.sample``.
      report: ``config, experiment, splits, params, fixed -> figures`` at the end, a dict by name or None. Figures
        may be numbers or arrays of NumPy or JAX; NaN and infinity are stored as None.
      Config: dataclass of ``config.<experiment>``.
    """

    make_experiment: Callable[[RunConfig, ImageSpec, Variables | None], Experiment]
    check: Callable[[RunConfig, Splits], None] = lambda config, splits: None
    prepare: Callable[[RunConfig, Splits], Variables] = lambda config, splits: {}
    picture_source: Callable[[RunConfig, Splits], Any] = lambda config, splits: None
    report: Callable[[RunConfig, Experiment, Splits, Params, Variables], Figures] = lambda *_: {}
    Config: type = NoFields

    @classmethod
    def of(cls, module: ModuleType) -> "Recipe":
        """Collects the attributes of a module, else the defaults."""
        return cls(**{name: getattr(module, name) for name in cls._fields if hasattr(module, name)})


def number_of_classes(spec: ImageSpec) -> int:
    """Looks up the number of classes; raises InputError for images without labels."""
    if spec.classes is None:
        raise InputError("config.data.labels must be True: this experiment learns from class labels.")
    return spec.classes
