"""p(small image) p(large | small) (1601.06759, section 3.6; 1606.05328, figure 7).

The small image is every second pixel of every second row, so the likelihood is exact.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from experiments.shared.measuring import Classified, check_classifier, class_accuracy, report_split
from experiments.shared.parts import blank, init_of_each
from pixelcnn_jax import nll, sample
from pixelcnn_jax.data.loading import Splits
from pixelcnn_jax.foundation.devices import on_one_device
from pixelcnn_jax.foundation.fields import field
from pixelcnn_jax.models.conditioning.encoders import Upsampling
from pixelcnn_jax.models.inputs import ImageSpec, Variables, apply_jitted
from pixelcnn_jax.training.config import RunConfig
from pixelcnn_jax.training.evaluation import per_image
from pixelcnn_jax.training.experiment import Batch, Experiment, Figures, Networks, Params, Pictures
from pixelcnn_jax.zoo.model_card import GIVEN_LABEL, UNCONDITIONAL
from pixelcnn_jax.zoo.registry import make_network

check = check_classifier


@dataclass(frozen=True, kw_only=True)
class Config(Classified):
    """Fields of ``config.multiscale``."""

    small_layers: int = field(8, "layers of the small image's network", min=1)
    map_features: int = field(16, "hidden channels of s, the map of the small image", min=1)


def make_experiment(config: RunConfig, spec: ImageSpec, prepared: Variables | None = None) -> Experiment:
    """Builds the experiment: nats of the large image, in two parts."""
    large = make_network(config.model, spec)
    upsampling = Upsampling(config.section.map_features, spec.levels)
    networks = {"small": large.clone(layers=config.section.small_layers), "map": upsampling, "large": large}

    image, h = blank(spec), None if spec.classes is None else jnp.zeros((1, spec.classes))
    half, s = image[:, ::2, ::2], jnp.zeros((1, spec.height, spec.width, config.section.map_features))
    init = init_of_each(networks, {"small": (half, h), "map": (half,), "large": (image, h, s)})

    def loss(params: Params, batch: Batch, key: Key[Array, ""] | None) -> Float[Array, " batch"]:
        small, rest = nats_by_part(networks, spec, params, batch, key)
        return small + rest

    def draw(params: Params, key: Key[Array, ""], source: None) -> Pictures:
        rows, columns = config.train.sample_rows, config.train.sample_columns
        labels = jnp.repeat(jnp.arange(rows) % (spec.classes or 1), columns)
        return draw_classes(networks, spec, params, key, labels).reshape(rows, columns, *spec.shape)

    density = UNCONDITIONAL if spec.classes is None else GIVEN_LABEL
    caption = "Samples." if spec.classes is None else "Samples, one class per row."
    return Experiment(init, loss, draw, networks, density=density, caption=caption)


def in_small_image(spec: ImageSpec) -> np.ndarray:
    """Masks the pixels of the small image, [1, height, width, 1]."""
    return np.all(np.indices((1, spec.height, spec.width, 1)) % 2 == 0, axis=0)


def nats_by_part(
    networks: Networks, spec: ImageSpec, params: Params, batch: Batch, key: Key[Array, ""] | None
) -> tuple[Float[Array, " batch"], Float[Array, " batch"]]:
    """Computes the nats of the small image, and of the rest given it."""
    small_key, large_key = (None, None) if key is None else jax.random.split(key)
    x, h = batch["image"], batch.get("label")
    s = apply_jitted(networks["map"], params["map"], x[:, ::2, ::2])[:, : spec.height, : spec.width]  # sides may be odd
    rest = ~in_small_image(spec)
    return (
        nll(networks["small"], params["small"], x[:, ::2, ::2], h=h, key=small_key),
        nll(networks["large"], params["large"], x, h=h, s=s, key=large_key, mask=rest),
    )


def draw_classes(
    networks: Networks, spec: ImageSpec, params: Params, key: Key[Array, ""], labels: Int[Array, " count"]
) -> Int[Array, "count height width channels"]:
    """Draws an image per label: the small image, then the rest."""
    (small_key, large_key), h = jax.random.split(key), None if spec.classes is None else labels
    size = (len(labels), spec.height, spec.width)
    half = (size[0], -(-spec.height // 2), -(-spec.width // 2))
    small = sample(networks["small"], params["small"], small_key, shape=half, h=h)
    s = apply_jitted(networks["map"], params["map"], small)[:, : spec.height, : spec.width]
    observed = jnp.repeat(jnp.repeat(small, 2, axis=1), 2, axis=2)[:, : spec.height, : spec.width]
    network, variables, mask = networks["large"], params["large"], in_small_image(spec)
    return sample(network, variables, large_key, shape=size, h=h, s=s, observed=observed, mask=mask)


def report(config: RunConfig, experiment: Experiment, splits: Splits, params: Params) -> Figures:
    """Measures the nats of each part and the class accuracy of samples."""
    spec, networks, local = splits.spec, experiment.networks, on_one_device(params)
    images = report_split(splits).subset(config.train.report_images)
    parts = per_image(config, lambda p, b: nats_by_part(networks, spec, p, b, None))(params, images)
    small, rest = (float(part.mean(dtype=np.float64)) for part in parts)
    figures = {"nats_of_the_small_image": small, "nats_of_the_rest": rest}
    return figures | class_accuracy(
        config, report_split(splits), lambda key, labels: draw_classes(networks, spec, local, key, labels)
    )
