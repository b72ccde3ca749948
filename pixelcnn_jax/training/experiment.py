"""The definition of an experiment: three pure functions, and the functions around them that need data."""

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Float, Int, Key

from pixelcnn_jax.data.dataset import Splits
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.inputs import ImageSpec, Variables
from pixelcnn_jax.training.config import RunConfig

LIKELIHOOD = "bits_per_dim"  # the measure of a loss that is a likelihood in nats

Params = Any  # a tree of arrays
Networks = dict[str, Any]  # by the names that their parameters have in the tree
# "image", int32 [batch, height, width, channels], and "label", int32 [batch], if labelled
Batch = Mapping[str, Array]
Figures = dict[str, Any]  # of a report, by their names
Pictures = Int[Array | np.ndarray, "rows columns height width channels"]


class Experiment(NamedTuple):
    """The task to learn, as three pure functions. The train loop knows nothing else.

    Attributes:
      init: ``key -> params``, everything that is trained.
      loss: ``params, batch, key -> nats [batch]``, the loss of each image. The key of dropout is None in evaluation.
      sample: ``params, key, source -> images``, a grid of samples. ``source`` holds the images that the picture starts
        from, or None.
      networks: the networks that the parameters belong to: one, or a dict of them by the names in the tree.
      measure: "bits_per_dim" for a loss that is a likelihood in nats; else the name of the loss, in its own unit.
      density: the density that the loss belongs to, for tables.
      caption: what the grid of samples shows, for the report.
    """

    init: Callable[[Key[Array, ""]], Params]
    loss: Callable[[Params, Batch, Key[Array, ""] | None], Float[Array, " batch"]]
    sample: Callable[[Params, Key[Array, ""], Any], Pictures]
    networks: Any
    measure: str = LIKELIHOOD
    density: str = "p(x)"
    caption: str = "Samples."


class Recipe(NamedTuple):
    """How to set up an experiment: the functions that a module of ``experiments`` defines.

    Attributes:
      make_experiment: ``config, spec, fixed -> Experiment``. It needs no data; ``fixed`` is None while shapes suffice.
      check: ``config, splits -> None``. Raises InputError before any training, for example for a classifier of other
        images.
      prepare: ``config, splits -> fixed``: variables learned before training begins and kept fixed, such as a
        quantiser's. They are saved in the workdir.
      picture_source: ``config, splits -> images`` that the picture starts from, or None.
      report: ``config, experiment, splits, params, fixed -> figures`` of the best parameters, computed once at the end.
    """

    make_experiment: Callable[[RunConfig, ImageSpec, Variables | None], Experiment]
    check: Callable[[RunConfig, Splits], None] = lambda config, splits: None
    prepare: Callable[[RunConfig, Splits], Variables] = lambda config, splits: {}
    picture_source: Callable[[RunConfig, Splits], Any] = lambda config, splits: None
    report: Callable[[RunConfig, Experiment, Splits, Params, Variables], Figures] = lambda *_: {}

    @classmethod
    def of(cls, module: ModuleType) -> "Recipe":
        """Returns the recipe of an experiment's module; functions that it does not define keep their defaults."""
        return cls(**{name: getattr(module, name) for name in cls._fields if hasattr(module, name)})


def number_of_classes(spec: ImageSpec) -> int:
    """Returns the number of classes. Raises InputError for images without labels."""
    if spec.classes is None:
        raise InputError("config.data.labels must be True: this experiment learns from class labels.")
    return spec.classes
