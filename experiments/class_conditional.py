"""p(x|y): the conditional PixelCNN of section 2.3, h being a one-hot class label (section 3.2, figures 3, 7 and 8).

python -m experiments.class_conditional --config=configs/mnist_classes.py --workdir=runs/mnist_classes

With ``map_features`` above 0 the label acts by place: s = m(h), m a deconvolutional network (equation 5).
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key
from ml_collections import ConfigDict

from experiments import cli, judge
from experiments.network import make_decoder
from pixelcnn_jax.devices import on_one_device
from pixelcnn_jax.errors import InputError
from pixelcnn_jax.likelihood import nats_to_bits_per_dim
from pixelcnn_jax.models.parameters import Params
from pixelcnn_jax.training.loop import Batch, Experiment, Splits, evaluator


def make_experiment(config: ConfigDict, splits: Splits) -> Experiment:
    """The likelihood given the label as the loss; a row of samples a class; what the label is worth, as the report."""
    if splits.train.classes is None:
        raise InputError("experiments.class_conditional needs class labels: set labels.")
    classes = splits.train.classes
    decoder = make_decoder(config, splits)
    judged = judge.make_judge(config, splits)

    def h_of(labels: Int[Array | np.ndarray, " batch"]) -> Float[Array, "batch classes"]:
        return jax.nn.one_hot(labels, classes)

    def init(key: Key[Array, ""]) -> Params:
        return decoder.init(key, classes)

    def nats(params: Params, images: Array, labels: Array, key: Key[Array, ""] | None = None) -> Float[Array, " batch"]:
        return decoder.nats(params, images, h_of(labels), key)

    def loss(params: Params, batch: Batch, key: Key[Array, ""] | None) -> Float[Array, " batch"]:
        return nats(params, batch["image"], batch["label"], key)

    def draw_of(params: Params, key: Key[Array, ""], labels: Int[np.ndarray, " count"]) -> Array:
        return decoder.draw(params, key, h_of(labels))

    def draw(params: Params, key: Key[Array, ""]) -> Int[Array, "rows columns height width channels"]:
        rows, columns = min(classes, config.sample_rows), config.sample_columns
        return draw_of(params, key, np.arange(rows).repeat(columns)).reshape(rows, columns, *decoder.shape)

    def report(params: Params) -> dict[str, Any]:
        images = splits.reported.some(config.report_images)

        def of_each_class(params: Params, batch: Batch) -> Float[Array, "batch classes"]:
            every = jnp.arange(classes)
            return jax.lax.map(lambda y: nats(params, batch["image"], jnp.full_like(batch["label"], y)), every).T

        joint = -evaluator(of_each_class, config)(params, images)
        figures = bayes(joint, images.labels(), images.shape)
        return {"report_images": len(images)} | figures | judged(partial(draw_of, on_one_device(params)))

    return Experiment(init, loss, draw, score_of="p(x|y)", report=report)


def bayes(
    log_likelihoods: Float[np.ndarray, "images classes"], labels: Int[np.ndarray, " images"], shape: tuple[int, ...]
) -> dict[str, float]:
    """What the label is worth, every class being as likely: p(x) = mean over y of p(x|y), and p(y|x) by Bayes' rule.

    log p(x|y) - log p(x) is at most ln(classes), exactly, for every image.
    """
    classes = log_likelihoods.shape[1]
    with_label = log_likelihoods[np.arange(len(labels)), labels]
    without = np.logaddexp.reduce(log_likelihoods, axis=1) - np.log(classes)
    return {
        "bits_per_dim_with_label": nats_to_bits_per_dim(float(-np.mean(with_label)), shape),
        "bits_per_dim_without": nats_to_bits_per_dim(float(-np.mean(without)), shape),
        "nats_the_label_is_worth": float(np.mean(with_label - without)),
        "at_most": float(np.log(classes)),
        "bayes_accuracy": float(np.mean(np.argmax(log_likelihoods, axis=1) == labels)),
    }


if __name__ == "__main__":
    cli.main(make_experiment)
