"""Measures for reports."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, Shaped

from pixelcnn_jax import InputError, load_pretrained
from pixelcnn_jax.data.dataset import Dataset
from pixelcnn_jax.data.loading import Splits
from pixelcnn_jax.data.preparation import Preparation
from pixelcnn_jax.foundation.fields import field
from pixelcnn_jax.models.inputs import Images, ImageSpec, apply_jitted
from pixelcnn_jax.training.config import RunConfig, run_keys
from pixelcnn_jax.zoo.pretrained import read_card

DRAWN_TOGETHER = 100

Draw = Callable[[Key[Array, ""], Array], Array]  # an image per label, caption or embedding


@dataclass(frozen=True, kw_only=True)
class Classified:
    """A classifier of samples."""

    classifier: str | None = field(None, "workdir of a classifier for the class accuracy of samples")


def draw_in_parts(draw: Draw, key: Key[Array, ""], h: np.ndarray) -> Shaped[np.ndarray, "count ..."]:
    """Draws for each row of ``h``, ``DRAWN_TOGETHER`` at a time."""
    parts = np.array_split(h, -(-len(h) // DRAWN_TOGETHER))
    return np.concatenate([draw(jax.random.fold_in(key, i), jnp.asarray(part)) for i, part in enumerate(parts)])


def report_split(splits: Splits) -> Dataset:
    """Picks the test split, else validation."""
    return splits.validation if splits.test is None else splits.test


def check_experiment(config: RunConfig, run: str, card: dict[str, Any], experiment: str) -> None:
    """Raises InputError if a card is of a different experiment, or of images scanned or inverted differently."""
    if card["experiment"] != experiment:
        raise InputError(f"{run} must be a run of the experiment {experiment}, not of {card['experiment']}.")
    data, settings = card["config"].get("data", {}), ("scan", "invert")
    if any(data.get(name, getattr(Preparation, name)) != getattr(config.data, name) for name in settings):
        raise InputError(f"config.data.scan and config.data.invert must have the same values as in {run}.")


def squared_error(means: Float[Array, "batch height width channels"], images: Images, levels: int) -> float:
    """Computes the mean squared error, with intensities in [0, 1]."""
    return float(jnp.mean((means - images / (levels - 1)) ** 2))


def check_classifier(config: RunConfig, splits: Splits, spec: ImageSpec | None = None) -> None:
    """Raises InputError if ``classifier`` is set and not of the images, or of ``spec``."""
    spec = spec or splits.spec
    if config.section.classifier is not None:
        card = read_card(config.section.classifier)
        check_experiment(config, config.section.classifier, card, "classifier")
        if card["image_spec"] != spec:
            raise InputError(f"config.{config.experiment}.classifier must read {spec}, got {card['image_spec']}.")


def class_accuracy(config: RunConfig, images: Dataset, draw: Draw) -> dict[str, Any]:
    """Measures the class accuracy of ``report_samples`` samples, with equal classes.

    Args:
      config: names the classifier; without one there are no figures.
      images: the images whose classes are drawn.
      draw: draws an image per label.
    """
    if config.section.classifier is None or images.spec.classes is None:
        return {}
    network, variables, _ = load_pretrained(config.section.classifier)
    present = np.unique(images.labels())
    labels = present.repeat(-(-config.train.report_samples // len(present)))
    drawn = draw_in_parts(draw, run_keys(config).report, labels)
    predicted = jnp.argmax(apply_jitted(network, variables, drawn), axis=1)
    return {"samples": len(labels), "class_accuracy_of_samples": float(np.mean(predicted == labels))}
