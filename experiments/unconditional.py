"""p(x): the Gated PixelCNN of section 2.1 and 2.2, given nothing.

python -m experiments.unconditional --config=configs/digits.py --workdir=runs/digits
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key
from ml_collections import ConfigDict

from experiments import cli
from experiments.network import make_network
from pixelcnn_jax import sample
from pixelcnn_jax.data.views import as_they_are, show
from pixelcnn_jax.likelihood import nats_of
from pixelcnn_jax.models.autoregressive import Network
from pixelcnn_jax.models.parameters import Params
from pixelcnn_jax.training.loop import Batch, Experiment, Splits


def make_experiment(config: ConfigDict, splits: Splits) -> Experiment:
    """The model that the data's levels and channels ask for, its likelihood as the loss, a grid of samples.

    With ``config.augment`` images are shown in several views in training, and h is which; scores and samples are of
    images as they are.
    """
    model = make_network(config, levels=splits.train.levels, channels=splits.train.shape[2])
    return experiment_of(model, config, splits)


def experiment_of(model: Network, config: ConfigDict, splits: Splits) -> Experiment:
    """The same of a network that is there already."""
    height, width, channels = splits.train.shape

    def identity(batch: int) -> Float[Array, "batch views"] | None:
        return as_they_are(batch, height, width) if config.augment else None

    def init(key: Key[Array, ""]) -> Params:
        return dict(model.init(key, jnp.zeros((1, height, width, channels), jnp.int32), identity(1)))

    def loss(params: Params, batch: Batch, key: Key[Array, ""] | None) -> Float[Array, " batch"]:
        images, h = batch["image"], identity(len(batch["image"]))
        if key is not None and config.augment:
            key, view_key = jax.random.split(key)
            images, h = show(view_key, images, config.augment)
        return nats_of(model, params, images, h=h, key=key)

    def draw(params: Params, key: Key[Array, ""]) -> Int[Array, "rows columns height width channels"]:
        rows, columns = config.sample_rows, config.sample_columns
        images = sample(model, params, key, shape=(rows * columns, height, width), h=identity(rows * columns))
        return images.reshape(rows, columns, height, width, channels)

    return Experiment(init, loss, draw)


if __name__ == "__main__":
    cli.main(make_experiment)
