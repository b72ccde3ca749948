"""The class accuracy of samples: the share that a classifier of real images assigns to the class asked for."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Key

from experiments.shared.measuring import apply, check_experiment, draw_in_parts
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.inputs import ImageSpec
from pixelcnn_jax.pretrained import load_pretrained, read_card
from pixelcnn_jax.training.config import RunConfig
from pixelcnn_jax.training.step import keys

DrawClasses = Callable[[Key[Array, ""], Int[Array, " count"]], Array]


def check_classifier(config: RunConfig, spec: ImageSpec) -> None:
    """Raises InputError unless ``classifier`` is unset or a classifier of images of this spec."""
    if config.group.classifier is not None:
        card = read_card(config.group.classifier)
        check_experiment(config.group.classifier, card, "classifier")
        if card["image_spec"] != spec:
            raise InputError(
                f"config.{config.experiment}.classifier must be of images of {spec}, got one of {card['image_spec']}."
            )


def class_accuracy(config: RunConfig, spec: ImageSpec, draw: DrawClasses) -> dict[str, Any]:
    """Draws ``report_samples`` images, equally many of each class, and returns the share of correct ones.

    Args:
      config: names the classifier; without one nothing is drawn, and there are no figures.
      spec: the images.
      draw: draws an image of each label.
    """
    if config.group.classifier is None or spec.classes is None:
        return {}
    network, variables, _ = load_pretrained(config.group.classifier)
    labels = np.arange(spec.classes).repeat(-(-config.group.report_samples // spec.classes))
    predicted = draw_in_parts(
        lambda key, part: jnp.argmax(apply(network, variables, draw(key, part)), axis=1),
        keys(config).report,
        labels,
    )
    return {"samples": len(labels), "class_accuracy_of_samples": float(np.mean(predicted == labels))}
