"""p(y|x) by a convolutional network: the independent judge of class-conditional samples.

python -m experiments.classifier --config=configs/mnist_classifier.py --workdir=runs/mnist_classifier
"""

from typing import cast

import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Key
from ml_collections import ConfigDict

from experiments import cli
from pixelcnn_jax.data.dataset import some_images
from pixelcnn_jax.errors import InputError
from pixelcnn_jax.models.encoders import Encoder
from pixelcnn_jax.models.parameters import Params
from pixelcnn_jax.training.loop import Batch, Experiment, Splits, evaluator


def make_network(config: ConfigDict, splits: Splits) -> Encoder:
    """Logits of the classes. Raises InputError for data without labels."""
    if splits.train.classes is None:
        raise InputError("experiments.classifier needs class labels: set labels.")
    return Encoder(splits.train.classes, splits.train.levels, tuple(config.encoder_features))


def classes_of(network: Encoder, params: Params, images: Int[Array, "batch ..."]) -> Int[Array, " batch"]:
    """The class that each image is taken for."""
    return jnp.argmax(cast(Array, network.apply(params, images)), axis=1)


def make_experiment(config: ConfigDict, splits: Splits) -> Experiment:
    """Cross-entropy; accuracy as its report; validation images as its picture, ordered by their supposed class."""
    network = make_network(config, splits)

    def init(key: Key[Array, ""]) -> Params:
        return dict(network.init(key, jnp.zeros((1, *splits.train.shape), jnp.int32)))

    def loss(params: Params, batch: Batch, key: Key[Array, ""] | None) -> Float[Array, " batch"]:
        logits = cast(Array, network.apply(params, batch["image"]))
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])

    def draw(params: Params, key: Key[Array, ""]) -> Int[Array, "rows columns height width channels"]:
        images = jnp.asarray(some_images(splits.validation, config.sample_rows * config.sample_columns))
        order = jnp.argsort(classes_of(network, params, images))
        return images[order].reshape(config.sample_rows, config.sample_columns, *splits.train.shape)

    def report(params: Params) -> dict[str, float]:
        def right(params: Params, batch: Batch) -> Array:
            return (classes_of(network, params, batch["image"]) == batch["label"]).astype(jnp.float32)

        scored = evaluator(right, config)
        named = {name: images for name, images in splits._asdict().items() if images is not None and name != "train"}
        return {f"{name}_accuracy": float(np.mean(scored(params, images))) for name, images in named.items()}

    return Experiment(init, loss, draw, measure="cross_entropy", report=report)


if __name__ == "__main__":
    cli.main(make_experiment)
