"""Ablations of the Gated PixelCNN: the same training without one part, at equal parameter counts.

A run trains ``config.ablations.variant``. Its number of features is chosen so that its parameter count is nearest to
that of the whole network. A study is one run for each variant and seed.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Array, Float, Key

from experiments.paper.unconditional import likelihood_experiment
from experiments.shared.ablated_pixelcnn import AblatedPixelCNN
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.foundation.fields import field
from pixelcnn_jax.models.conditioning.conditional import array_shapes
from pixelcnn_jax.models.inputs import Condition, ImageSpec, Variables
from pixelcnn_jax.training.config import RunConfig
from pixelcnn_jax.training.experiment import Batch, Experiment, Params, Pictures, Training

WHOLE = "whole"
VARIANTS: dict[str, dict[str, Any]] = {
    WHOLE: {},
    "relu": {"gated": False},
    "one stack": {"two_stacks": False},
    "vertical residual": {"vertical_residual": True},
    "5x5": {"kernel_size": 5},
    "first 3x3": {"first_kernel_size": 3},
    "blue first": {},
    "green first": {},
}
COLOURS = {"blue first": (2, 1, 0), "green first": (1, 0, 2)}  # the order in which channels are predicted


@dataclass(frozen=True, kw_only=True)
class Config:
    """Fields of ``config.ablations``."""

    variant: str = field(WHOLE, "what differs from the whole network", choices=VARIANTS)


def make_experiment(config: RunConfig, spec: ImageSpec, fixed: Variables | None = None) -> Experiment:
    """Returns the experiment: p(x) by a network without a part.

    Raises:
      InputError: if the network is different, or for an order of colours if the images have no three channels.
    """
    name = config.group.variant
    if config.model.network != "GatedPixelCNN":
        raise InputError(f"config.model.network must be GatedPixelCNN, whose parts these are: {config.model.network}.")
    if name in COLOURS and spec.channels != 3:
        raise InputError(f"config.ablations.variant: {name} needs three channels, got {spec.channels}.")
    plain = likelihood_experiment(variant(config, name, spec), config, spec)
    return reordered(plain._replace(density=f"p(x), {name}"), COLOURS.get(name, ()))


def reordered(experiment: Experiment, order: tuple[int, ...]) -> Experiment:
    """Returns an experiment whose network sees the channels in a different order than losses and samples have them."""
    if not order:
        return experiment
    colours, back = np.array(order), np.argsort(order)

    def loss(params: Params, batch: Batch, training: Training | None) -> Float[Array, " batch"]:
        return experiment.loss(params, {**batch, "image": batch["image"][..., colours]}, training)

    def draw(params: Params, key: Key[Array, ""], source: None) -> Pictures:
        return experiment.sample(params, key, source)[..., back]

    return experiment._replace(loss=loss, sample=draw)


def variant(config: RunConfig, name: str, spec: ImageSpec) -> AblatedPixelCNN:
    """Returns a variant with the number of features that brings its parameter count nearest to the whole network's."""
    fields = {key: value for key, value in asdict(config.model).items() if key != "network"}
    whole = AblatedPixelCNN(levels=spec.levels, channels=spec.channels, **fields)
    part = AblatedPixelCNN(levels=spec.levels, channels=spec.channels, **(fields | VARIANTS[name]))
    widths, wanted = range(max(spec.channels, whole.features // 2), 2 * whole.features + 1), count(whole)
    return min((part.clone(features=width) for width in widths), key=lambda model: abs(count(model) - wanted))


def count(model: AblatedPixelCNN) -> int:
    """Returns the number of parameters, from their shapes."""
    return sum(map(math.prod, array_shapes(model, Condition()).values()))
