"""p(x): the unconditional Gated PixelCNN (1606.05328, sections 2.1 and 2.2)."""

from dataclasses import dataclass

import jax
from jaxtyping import Array, Float, Key

from experiments.shared.parts import draw_grid, init_of
from pixelcnn_jax import InputError, nll
from pixelcnn_jax.data.views import random_view, views
from pixelcnn_jax.foundation.fields import field
from pixelcnn_jax.models.autoregressive import Network
from pixelcnn_jax.models.conditioning.conditional_model import ConditionalModel, ConstantCondition, part_of
from pixelcnn_jax.models.inputs import ImageSpec, Variables
from pixelcnn_jax.training.config import RunConfig
from pixelcnn_jax.training.experiment import Batch, Experiment, Params, Pictures
from pixelcnn_jax.zoo.registry import make_network


@dataclass(frozen=True, kw_only=True)
class Config:
    """Fields of ``config.unconditional``."""

    augment: float = field(0.0, "fraction of training images to augment", min=0, below=1)
    views: tuple[int, ...] = field((), "indices of the augmentations in data.views.views; empty for all", min=1)


def make_experiment(config: RunConfig, spec: ImageSpec, prepared: Variables | None = None) -> Experiment:
    """Builds the experiment, with distribution augmentation (Jun et al. 2020).

    With ``augment``, h is the index of the transform; the exported p(x) fixes h to the identity.
    """
    network = make_network(config.model, spec)
    if not config.section.augment:
        return likelihood_experiment(network, config, spec)
    count = len(views(spec.height, spec.width))
    if max(config.section.views, default=0) >= count:
        raise InputError(f"config.unconditional.views must be below {count}, got {config.section.views}.")
    plain = likelihood_experiment(ConditionalModel(network, ConstantCondition(count)), config, spec)

    def loss(params: Params, batch: Batch, key: Key[Array, ""] | None) -> Float[Array, " batch"]:
        if key is None:
            return plain.loss(params, batch, None)
        key, view_key = jax.random.split(key)
        images, h = random_view(view_key, batch["image"], config.section.augment, config.section.views)
        return nll(network, part_of(params, "network"), images, h=h, key=key)

    return plain._replace(loss=loss, facts={"views": sorted({0, *(config.section.views or range(count))})})


def likelihood_experiment(model: Network | ConditionalModel, config: RunConfig, spec: ImageSpec) -> Experiment:
    """Builds the experiment of a model of p(x)."""

    def loss(params: Params, batch: Batch, key: Key[Array, ""] | None) -> Float[Array, " batch"]:
        return nll(model, params, batch["image"], key=key)

    def draw(params: Params, key: Key[Array, ""], source: None) -> Pictures:
        return draw_grid(model, params, key, spec, config.train.sample_rows, config.train.sample_columns)

    return Experiment(init_of(model, spec), loss, draw, model)
