"""Measures that reports share: values per image, a second run, differences, class accuracy."""

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, Shaped

from pixelcnn_jax.data.dataset import Dataset, Splits
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.inputs import Images, ImageSpec, Variables
from pixelcnn_jax.pretrained import load_pretrained, read_card
from pixelcnn_jax.training.config import RunConfig
from pixelcnn_jax.training.evaluation import make_evaluator
from pixelcnn_jax.training.experiment import Batch, Params
from pixelcnn_jax.training.step import keys

DRAWN_TOGETHER = 100

DrawClasses = Callable[[Key[Array, ""], Int[Array, " count"]], Array]


@partial(jax.jit, static_argnames="module")
def apply(module: nn.Module, variables: Variables, x: Any) -> Array:
    """Returns what a module computes, compiled."""
    return cast(Array, module.apply(variables, x))


def per_image(config: RunConfig, function: Callable[[Params, Batch], Any]) -> Callable[[Params, Dataset], Any]:
    """Compiles a per-image function for whole splits, in batches of the config's size, on all devices."""
    train = config.train
    return make_evaluator(function, batch_size=train.eval_batch_size, microbatch_size=train.microbatch_size)


def draw_in_parts(
    draw: Callable[[Key[Array, ""], Array], Array], key: Key[Array, ""], given: np.ndarray
) -> Shaped[np.ndarray, "count ..."]:
    """Returns what is drawn for each row of ``given``, in parts of at most ``DRAWN_TOGETHER`` rows with a key each."""
    parts = np.array_split(given, -(-len(given) // DRAWN_TOGETHER))
    return np.concatenate([draw(jax.random.fold_in(key, i), jnp.asarray(part)) for i, part in enumerate(parts)])


def report_split(splits: Splits) -> Dataset:
    """Returns the split that reports are of: the test split or, if there is none, validation."""
    return splits.validation if splits.test is None else splits.test


def check_experiment(run: str, card: dict[str, Any], experiment: str) -> None:
    """Raises InputError if a card is of a different experiment."""
    if card["experiment"] != experiment:
        raise InputError(f"{run} must be a run of experiment {experiment}, got one of {card['experiment']}.")


def squared_error(means: Float[Array, "batch height width channels"], images: Images, levels: int) -> float:
    """Returns the mean squared error over all sub-pixels, in intensities from 0 to 1."""
    return float(jnp.mean((means - images / (levels - 1)) ** 2))


def distance(a: np.ndarray, b: np.ndarray, levels: int) -> float:
    """Returns the root mean squared difference of intensities from 0 to 1, averaged over pairs of images."""
    difference = (a.astype(np.float32) - b) / (levels - 1)
    return float(np.mean(np.sqrt(np.mean(difference**2, axis=(1, 2, 3)))))


def nearest(images: np.ndarray, known: np.ndarray, levels: int) -> float:
    """Returns the root mean squared difference from the nearest of the known images, averaged over images."""
    a, b = (x.reshape(len(x), -1).astype(np.float32) / (levels - 1) for x in (images, known))
    squares = np.maximum(np.sum(a**2, axis=1)[:, None] + np.sum(b**2, axis=1) - 2 * a @ b.T, 0)
    return float(np.mean(np.sqrt(np.min(squares, axis=1) / a.shape[1])))


def check_classifier(config: RunConfig, spec: ImageSpec) -> None:
    """Raises InputError unless ``classifier`` is unset or a classifier of images of this spec."""
    if config.group.classifier is not None:
        card = read_card(config.group.classifier)
        check_experiment(config.group.classifier, card, "classifier")
        if card["image_spec"] != spec:
            raise InputError(f"config.{config.experiment}.classifier must be of {spec}, got {card['image_spec']}.")


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
    labels = np.arange(spec.classes).repeat(-(-config.train.report_samples // spec.classes))

    def predict(key: Key[Array, ""], part: Array) -> Array:
        return jnp.argmax(apply(network, variables, draw(key, part)), axis=1)

    predicted = draw_in_parts(predict, keys(config).report, labels)
    return {"samples": len(labels), "class_accuracy_of_samples": float(np.mean(predicted == labels))}
