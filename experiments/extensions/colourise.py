"""p(x|s): colours given the grey image, as the map s of equation 5."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from experiments.shared.parts import blank, draw_grid, init_of
from pixelcnn_jax import InputError, nll
from pixelcnn_jax.data.dataset import take_images
from pixelcnn_jax.data.loading import Splits
from pixelcnn_jax.data.preparation import luma
from pixelcnn_jax.distributions import intensities
from pixelcnn_jax.models.inputs import Images, ImageSpec, Map, Variables
from pixelcnn_jax.training.config import RunConfig
from pixelcnn_jax.training.experiment import Batch, Experiment, Params, Pictures
from pixelcnn_jax.zoo.registry import make_network


def map_of(images: Images, levels: int) -> Map:
    """Computes s: the grey image in [-1, 1], and a constant 1 to mark the padding."""
    s = intensities(luma(images), levels)
    return jnp.concatenate([s, jnp.ones_like(s)], axis=3)


def make_experiment(config: RunConfig, spec: ImageSpec, prepared: Variables | None = None) -> Experiment:
    """Builds the experiment; a picture row is a grey image, samples, the original."""
    network = make_network(config.model, spec)
    if spec.channels != 3:
        raise InputError(f"config.data.dataset must contain RGB images, got images with {spec.channels} channel(s).")

    def loss(params: Params, batch: Batch, key: Key[Array, ""] | None) -> Float[Array, " batch"]:
        x = batch["image"]
        return nll(network, params, x, s=map_of(x, spec.levels), key=key)

    def draw(params: Params, key: Key[Array, ""], source: Images) -> Pictures:
        originals, columns = jnp.asarray(source), max(1, config.train.sample_columns - 2)
        s = jnp.repeat(map_of(originals, spec.levels), columns, axis=0)
        drawn = draw_grid(network, params, key, spec, len(originals), columns, s=s)
        return jnp.concatenate([jnp.repeat(luma(originals), 3, axis=3)[:, None], drawn, originals[:, None]], axis=1)

    init = init_of(network, spec, None, map_of(blank(spec), spec.levels))
    caption = "In each row a grey image, samples given it, and the original."
    return Experiment(init, loss, draw, network, density="p(x|grey x)", caption=caption)


def picture_source(config: RunConfig, splits: Splits) -> Images:
    """Takes the validation images to colourise."""
    return take_images(splits.validation, config.train.sample_rows)
