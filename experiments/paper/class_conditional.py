"""p(x|y): h is a one-hot class label (sections 2.3 and 3.2, figures 3, 7 and 8).

With ``map_features`` the label acts by position: s = m(h), m a deconvolutional network (equation 5).
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from experiments.shared.measuring import Classified, check_classifier, class_accuracy, report_split
from experiments.shared.parts import Mapped, draw_grid, drawer, init_of, make_conditional, nats_given_each
from pixelcnn_jax.data.loading import Splits
from pixelcnn_jax.foundation.devices import on_one_device
from pixelcnn_jax.foundation.fields import field
from pixelcnn_jax.likelihood import nats_to_bits_per_dim, nll
from pixelcnn_jax.models.inputs import ImageSpec, Variables
from pixelcnn_jax.training.config import RunConfig
from pixelcnn_jax.training.evaluation import per_image
from pixelcnn_jax.training.experiment import Batch, Experiment, Figures, Params, Pictures, required
from pixelcnn_jax.zoo.model_card import GIVEN_LABEL

UNDERTRAINED = "Negative label information means that the model misuses the label, as it is undertrained: train on."

check = check_classifier


@dataclass(frozen=True, kw_only=True)
class Config(Mapped, Classified):
    """Fields of ``config.class_conditional``."""

    drop_condition: float = field(0.0, "fraction of labels to drop in training, for guidance", min=0, below=1)


def make_experiment(config: RunConfig, spec: ImageSpec, prepared: Variables | None = None) -> Experiment:
    """Builds the experiment: nats given the label."""
    classes = required(spec.classes, "labels")
    model = make_conditional(config.model, spec, map_features=config.section.map_features)

    def loss(params: Params, batch: Batch, key: Key[Array, ""] | None) -> Float[Array, " batch"]:
        h = jax.nn.one_hot(batch["label"], classes)
        if key is not None and config.section.drop_condition:
            key, drop_key = jax.random.split(key)
            kept = jax.random.bernoulli(drop_key, 1 - config.section.drop_condition, (len(h), 1))
            h = jnp.where(kept, h, 0)  # zeros are the null condition of guidance
        return nll(model, params, batch["image"], h=h, key=key)

    def draw(params: Params, key: Key[Array, ""], source: None) -> Pictures:
        rows, columns = min(classes, config.train.sample_rows), config.train.sample_columns
        h = jax.nn.one_hot(jnp.arange(rows).repeat(columns), classes)
        return draw_grid(model, params, key, spec, rows, columns, h=h)

    init = init_of(model, spec, jnp.zeros((1, classes)))
    facts = {"guidance": config.section.drop_condition > 0}
    return Experiment(init, loss, draw, model, density=GIVEN_LABEL, caption="Samples, one class per row.", facts=facts)


def report(config: RunConfig, experiment: Experiment, splits: Splits, params: Params) -> Figures:
    """Measures the information in the label and the class accuracy of samples."""
    spec, model, local = splits.spec, experiment.networks, on_one_device(params)
    held_out, one_hot = report_split(splits), jnp.eye(required(spec.classes, "labels"))
    images, present = held_out.subset(config.train.report_images), np.unique(held_out.labels())  # not all, if selected
    nats_of = per_image(config, lambda p, b: nats_given_each(model, p, b["image"], one_hot[present]))
    figures = bayes(-nats_of(params, images), np.searchsorted(present, images.labels()), spec.shape)
    draw = drawer(model, local, spec)
    accuracy = class_accuracy(config, held_out, lambda key, labels: draw(key, one_hot[labels]))
    return {"report_images": len(images)} | figures | accuracy


def bayes(
    log_likelihoods: Float[np.ndarray, "images classes"], labels: Int[np.ndarray, " images"], shape: tuple[int, ...]
) -> Figures:
    """Measures the information in the label, under a uniform p(y).

    log p(x|y) - log p(x) is at most ln(classes). Its mean is negative, and a note says so, if the model has not learned
    what the label means.
    """
    classes = log_likelihoods.shape[1]
    with_label = log_likelihoods[np.arange(len(labels)), labels]
    without = np.logaddexp.reduce(log_likelihoods, axis=1) - np.log(classes)
    information = float(np.mean(with_label - without))
    return {
        "bits_per_dim_with_label": nats_to_bits_per_dim(float(-np.mean(with_label)), shape),
        "bits_per_dim_without": nats_to_bits_per_dim(float(-np.mean(without)), shape),
        "label_information_nats": information,
        "max_label_information_nats": float(np.log(classes)),
        "bayes_accuracy": float(np.mean(np.argmax(log_likelihoods, axis=1) == labels)),
    } | ({"note": UNDERTRAINED} if information < 0 else {})
