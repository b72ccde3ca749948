"""Ablations of the Gated PixelCNN, at equal parameter counts."""

import math
from dataclasses import dataclass, replace
from typing import Any

from experiments.paper.ablated_pixelcnn import AblatedPixelCNN
from experiments.paper.unconditional import likelihood_experiment
from pixelcnn_jax import InputError
from pixelcnn_jax.foundation.fields import field
from pixelcnn_jax.models.declarations import declarations
from pixelcnn_jax.models.inputs import ImageSpec, Variables
from pixelcnn_jax.training.config import RunConfig
from pixelcnn_jax.training.experiment import Experiment
from pixelcnn_jax.zoo.registry import make_network

VARIANTS: dict[str, dict[str, Any]] = {
    "whole": {},
    "relu": {"gated": False},
    "one stack": {"two_stacks": False},
    "vertical residual": {"vertical_residual": True},
    "5x5": {"kernel_size": 5},
    "first 3x3": {"first_kernel_size": 3},
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Fields of ``config.ablations``."""

    variant: str = field("whole", f"what differs: {', '.join(VARIANTS)}", choices=VARIANTS)


def make_experiment(config: RunConfig, spec: ImageSpec, prepared: Variables | None = None) -> Experiment:
    """Builds the experiment: p(x) by an ablated network."""
    name = config.section.variant
    if config.model.network != "GatedPixelCNN":
        raise InputError(f"config.model.network must be GatedPixelCNN to be ablated, got {config.model.network}.")
    return likelihood_experiment(variant(config, name, spec), config, spec)._replace(density=f"p(x), {name}")


def variant(config: RunConfig, name: str, spec: ImageSpec) -> AblatedPixelCNN:
    """Builds a variant with about as many parameters as the whole network."""
    whole = make_network(replace(config.model, network=AblatedPixelCNN.__name__), spec)
    part = whole.clone(**VARIANTS[name])
    widths, target = range(max(spec.channels, whole.features // 2), 2 * whole.features + 1), count(whole)
    return min((part.clone(features=width) for width in widths), key=lambda model: abs(count(model) - target))


def count(model: AblatedPixelCNN) -> int:
    """Counts the parameters."""
    return sum(math.prod(kernel.shape) for kernel in declarations(model).values())
