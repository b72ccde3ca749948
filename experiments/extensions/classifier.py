"""p(y|x) by a convolutional network, to measure the class accuracy of samples."""

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from experiments.shared.parts import init_of
from pixelcnn_jax.data.dataset import take_images
from pixelcnn_jax.data.loading import Splits
from pixelcnn_jax.models.conditioning.encoders import Encoder
from pixelcnn_jax.models.inputs import Images, ImageSpec, Variables, apply_jitted
from pixelcnn_jax.training.config import RunConfig
from pixelcnn_jax.training.evaluation import per_image
from pixelcnn_jax.training.experiment import Batch, Experiment, Figures, Params, Pictures, required


def make_experiment(config: RunConfig, spec: ImageSpec, prepared: Variables | None = None) -> Experiment:
    """Builds the experiment: cross-entropy; images sorted by predicted class."""
    network = Encoder(required(spec.classes, "labels"), spec.levels)

    def loss(params: Params, batch: Batch, key: Key[Array, ""] | None) -> Float[Array, " batch"]:
        logits = apply_jitted(network, params, batch["image"])
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch["label"])

    def draw(params: Params, key: Key[Array, ""], source: Images) -> Pictures:
        order = jnp.argsort(jnp.argmax(apply_jitted(network, params, source), axis=1))
        return jnp.asarray(source)[order].reshape(config.train.sample_rows, config.train.sample_columns, *spec.shape)

    caption = "Validation images, ordered by their predicted class."
    return Experiment(init_of(network, spec), loss, draw, network, "cross_entropy", "p(y|x)", caption)


def picture_source(config: RunConfig, splits: Splits) -> Images:
    """Takes the validation images to sort."""
    return take_images(splits.validation, config.train.sample_rows * config.train.sample_columns)


def report(config: RunConfig, experiment: Experiment, splits: Splits, params: Params) -> Figures:
    """Measures the accuracy on each held-out split."""
    predict = per_image(config, lambda p, b: jnp.argmax(apply_jitted(experiment.networks, p, b["image"]), axis=1))
    held_out = {name: split.subset(config.train.report_images) for name, split in splits.held_out.items()}
    right = {name: predict(params, split) == split.labels() for name, split in held_out.items()}
    return {f"{name}_accuracy": float(x.mean()) for name, x in right.items()}
