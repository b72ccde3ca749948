"""Ablations of the Gated PixelCNN: the same training without one part, at equal parameter counts.

Each variant of ``config.ablations.variants`` is trained ``config.ablations.seeds`` times, as a run of its own in a
folder of the workdir. Its number of features is chosen so that its parameter count is nearest to that of the whole
network. The summary compares validation likelihoods: mean and standard deviation over the seeds, and the difference to
the whole.
"""

import math
from dataclasses import asdict, dataclass, replace
from statistics import mean, stdev
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
from pixelcnn_jax.training.processes import is_first

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

    variants: tuple[str, ...] = field((WHOLE,), "what is compared: whole, then names of VARIANTS in ablations.py")
    seeds: int = field(3, "number of times each variant is trained", least=1)


def runs(config: RunConfig) -> dict[str, RunConfig]:
    """Returns the runs of a study by the names of their folders. Each has one variant, so that others can be added.

    Raises:
      InputError: if the first variant is not the whole network, or one is unknown, or the network is another.
    """
    if config.model.network != "GatedPixelCNN":
        raise InputError(
            f"config.model.network must be GatedPixelCNN in a study of its parts, got {config.model.network}."
        )
    names = config.own.variants
    if names[:1] != (WHOLE,) or not set(names) <= VARIANTS.keys():
        raise InputError(f"config.ablations.variants must be {WHOLE}, then some of {', '.join(VARIANTS)}, got {names}.")
    return {
        f"{name.replace(' ', '_')}_{seed}": replace(config, seed=seed, own=Config(variants=(name,), seeds=1))
        for name in names
        for seed in range(config.seed, config.seed + config.own.seeds)
    }


def compare(config: RunConfig, spec: ImageSpec, results: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Prints the table of a study, and returns its figures.

    Args:
      config: the study.
      spec: the images.
      results: the result of each run, by the names that ``runs`` gave.
    """
    ordered, seeds = list(results.values()), config.own.seeds
    found: dict[str, dict[str, Any]] = {}
    lines = [
        f"{'variant':20} {'features':>8} {'parameters':>10} {'bits/dim':>10} {'spread':>8} {'nats':>9} {'beyond':>8}"
    ]
    for i, name in enumerate(config.own.variants):
        scores = [result["scores"]["validation"] for result in ordered[i * seeds : (i + 1) * seeds]]
        each, nats = [score["bits_per_dim"] for score in scores], mean(score["nats"] for score in scores)
        row = {
            "features": variant(config, name, spec).features,
            "parameters": ordered[i * seeds]["parameters"],
            "bits_per_dim": mean(each),
            "spread": stdev(each) if seeds > 1 else 0.0,
            "nats": nats,
            "nats_beyond_the_whole": nats - found[WHOLE]["nats"] if found else 0.0,
        }
        found[name] = row
        lines.append("{:20} {:8} {:10} {:10.4f} {:8.4f} {:9.3f} {:8.3f}".format(name, *row.values()))
        row["each"] = each
    if is_first():
        print(*lines, sep="\n")
    return {"data": ordered[0]["scores"]["validation"]["data"], "seeds": seeds, "variants": found}


def make_experiment(config: RunConfig, spec: ImageSpec, fixed: Variables | None = None) -> Experiment:
    """Returns the experiment of the first variant: p(x) by a network without a part.

    Raises:
      InputError: for an order of colours if the images have no three channels.
    """
    name = config.own.variants[0]
    if name in COLOURS and spec.channels != 3:
        raise InputError(f"config.ablations.variants: {name} needs three channels, got {spec.channels}.")
    plain = likelihood_experiment(variant(config, name, spec), config, spec)
    return reordered(plain._replace(score_of=f"p(x), {name}"), COLOURS.get(name, ()))


def reordered(experiment: Experiment, order: tuple[int, ...]) -> Experiment:
    """Returns an experiment whose network sees the channels in another order than losses and samples have them."""
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
