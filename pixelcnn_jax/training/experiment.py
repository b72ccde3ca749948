"""Definition of an experiment."""

from collections.abc import Callable, Mapping
from dataclasses import make_dataclass
from types import MappingProxyType, ModuleType
from typing import Any, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Array, Float, Int, Key

from pixelcnn_jax.data.loading import Splits
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.inputs import ImageSpec, Variables
from pixelcnn_jax.training.config import RunConfig
from pixelcnn_jax.zoo.model_card import UNCONDITIONAL

LIKELIHOOD = "bits_per_dim"  # the measure of a loss that is a likelihood in nats

Value = TypeVar("Value")
Params = Any  # pytree
Networks = dict[str, Any]  # named as in the parameter tree
# "image", int32 [batch, height, width, channels], and its condition, if any: "label", "caption", "examples", "h" or "s"
Batch = Mapping[str, Array]
Figures = dict[str, Any]  # of a report, by name
Pictures = Int[Array | np.ndarray, "rows columns height width channels"]


class Experiment(NamedTuple):
    """A task for the train loop: three pure functions, and the names of what they compute.

    Attributes:
      init: Draws the initial variables, ``init(key) -> params``.
      loss: Computes the loss of each image, ``loss(params, batch, key) -> losses [batch]``. The key is for dropout and
        other noise, and None in evaluation.
      sample: Draws a grid of pictures, ``sample(params, key, source) -> images [rows, columns, height, width,
        channels]``; the source is what ``Recipe.picture_source`` returned.
      networks: The network. If there are several, a dict of them, with the same keys as the variables. If the variables
        of a Linen module have a collection "params", only this collection is trained. Otherwise all variables are.
      measure: The name of the loss. Use "bits_per_dim" for the negative log-likelihood of all sub-pixels; ``loss``
        returns it in nats, and the reports convert it. Use "nats" if only some of the sub-pixels count, and any other
        name for another loss.
      density: The density that is learned, such as "p(x|y)".
      caption: The caption of the grid of pictures.
      facts: What else the card of the model says. "guidance" is False if it is known that no condition was dropped in
        training. "views" is for a network whose h says how an image was flipped, transposed or shifted (its view): it
        lists the views that were trained, as indices of ``data.views.views``.
      picture_levels: The number of intensity levels of the pictures; None for that of the data.
    """

    init: Callable[[Key[Array, ""]], Params]
    loss: Callable[[Params, Batch, Key[Array, ""] | None], Float[Array, " batch"]]
    sample: Callable[[Params, Key[Array, ""], Any], Pictures]
    networks: Any
    measure: str = LIKELIHOOD
    density: str = UNCONDITIONAL
    caption: str = "Samples."
    facts: Mapping[str, Any] = MappingProxyType({})
    picture_levels: int | None = None


class Recipe(NamedTuple):
    """What the train command needs of an experiment: the functions of its module, of which only the first is required.

    Attributes:
      make_experiment: Builds the experiment, ``make_experiment(config, spec, prepared) -> Experiment``. ``prepared`` is
        what ``prepare`` returned, or None if only the shapes of the variables are needed.
      check: Checks config and data before training, ``check(config, splits) -> None``, and raises InputError.
      prepare: Fits variables that training does not change, such as the codebook of a quantiser,
        ``prepare(config, splits) -> prepared``, a dict by names that ``init`` does not use.
      picture_source: Chooses what the pictures of the experiment start from, such as images to reconstruct,
        ``picture_source(config, splits) -> source``.
      report: Computes figures of the trained model, ``report(config, experiment, splits, params) -> figures``. It
        returns them as a dict by name, or None for no figures. ``params`` include what ``prepare`` returned. Figures
        may be numbers or arrays of NumPy or JAX; NaN and infinity are stored as None.
      Config: The dataclass of the experiment's own settings, the section of the config that has the experiment's name.
    """

    make_experiment: Callable[[RunConfig, ImageSpec, Variables | None], Experiment]
    check: Callable[[RunConfig, Splits], None] = lambda config, splits: None
    prepare: Callable[[RunConfig, Splits], Variables] = lambda config, splits: {}
    picture_source: Callable[[RunConfig, Splits], Any] = lambda config, splits: None
    report: Callable[[RunConfig, Experiment, Splits, Params], Figures] = lambda *_: {}
    Config: type = make_dataclass("NoFields", (), frozen=True)

    @classmethod
    def of(cls, module: ModuleType) -> "Recipe":
        """Collects the functions of a module.

        Args:
          module: A module that defines ``make_experiment``, and any of the other attributes.

        Returns:
          The recipe, with defaults for what the module does not define.
        """
        return cls(**{name: getattr(module, name) for name in cls._fields if hasattr(module, name)})


def required(value: Value | None, field: str) -> Value:
    """Returns a value that an experiment cannot do without, if it is there.

    Raises:
      InputError: If there is none; it names the field of ``config.data`` that would provide it.
    """
    if not value:
        raise InputError(f"config.data.{field} must be set: this experiment learns from what it adds to the images.")
    return value
