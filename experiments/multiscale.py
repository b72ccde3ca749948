"""A small image, then the large one given it (1601.06759, section 3.6; figure 7 of 1606.05328), also with a label.

python -m experiments.multiscale --config=configs/mnist_multiscale.py --workdir=runs/mnist_multiscale

The small image's pixels are every second pixel of every second row of the large one, so the likelihood is exact:
bits(small) + bits(rest | small) = bits(large).
"""

from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key
from ml_collections import ConfigDict

from experiments import cli, judge, trained
from experiments.network import make_network
from pixelcnn_jax import sample
from pixelcnn_jax.devices import on_one_device
from pixelcnn_jax.errors import InputError
from pixelcnn_jax.likelihood import nats_of
from pixelcnn_jax.models.encoders import Upsampling
from pixelcnn_jax.models.parameters import Params
from pixelcnn_jax.training.loop import Batch, Experiment, Splits, evaluator


def make_experiment(config: ConfigDict, splits: Splits) -> Experiment:
    """The likelihood of the large image, in two parts; each of the parts as the report."""
    (height, width, channels), classes = splits.train.shape, splits.train.classes
    if height % 2 or width % 2 or not config.map_features:
        raise InputError("experiments.multiscale needs an even height and width, and map_features above 0.")
    large = make_network(config, levels=splits.train.levels, channels=channels)
    small = large.clone(layers=config.small_layers)
    upsampling = Upsampling(config.map_features, splits.train.levels)
    images = splits.reported
    single = None
    if config.single_scale and len(images):
        single = trained.nats_of_run(
            config.single_scale, config, images, "unconditional" if classes is None else "class_conditional"
        )
    judged = judge.make_judge(config, splits)
    known = np.zeros((1, height, width, 1), bool)
    known[:, ::2, ::2] = True

    def h_of(labels: Int[Array, " batch"] | None) -> Float[Array, "batch classes"] | None:
        return None if classes is None or labels is None else jax.nn.one_hot(labels, classes)

    def init(key: Key[Array, ""]) -> Params:
        keys = jax.random.split(key, 3)
        image, h = jnp.zeros((1, height, width, channels), jnp.int32), h_of(jnp.zeros(1, jnp.int32))
        s = jnp.zeros((1, height, width, config.map_features))
        return {
            "small": dict(small.init(keys[0], image[:, ::2, ::2], h)),
            "map": dict(upsampling.init(keys[1], image[:, ::2, ::2])),
            "large": dict(large.init(keys[2], image, h, s)),
        }

    @jax.jit
    def map_of(params: Params, first: Array) -> Float[Array, "batch height width features"]:
        return cast(Array, upsampling.apply(params["map"], first))

    def parts(params: Params, batch: Batch, key: Key[Array, ""] | None) -> list[Float[Array, " batch"]]:
        """Nats of the small image, and of the rest given it."""
        keys = (None, None) if key is None else jax.random.split(key)
        x, h = batch["image"], h_of(batch.get("label"))
        s = map_of(params, x[:, ::2, ::2])
        return [
            nats_of(small, params["small"], x[:, ::2, ::2], h=h, key=keys[0]),
            nats_of(large, params["large"], x, h=h, s=s, key=keys[1], counted=~known),
        ]

    def loss(params: Params, batch: Batch, key: Key[Array, ""] | None) -> Float[Array, " batch"]:
        return sum(parts(params, batch, key), start=jnp.zeros(len(batch["image"])))

    def draw_of(params: Params, key: Key[Array, ""], labels: Int[Array | np.ndarray, " count"]) -> Array:
        count, h, (small_key, large_key) = len(labels), h_of(jnp.asarray(labels)), jax.random.split(key)
        first = sample(small, params["small"], small_key, shape=(count, height // 2, width // 2), h=h)
        s = map_of(params, first)
        given = jnp.repeat(jnp.repeat(first, 2, axis=1), 2, axis=2)
        return sample(
            large, params["large"], large_key, shape=(count, height, width), h=h, s=s, given=given, mask=known
        )

    def draw(params: Params, key: Key[Array, ""]) -> Int[Array, "rows columns height width channels"]:
        """Where there are labels, a row a class."""
        rows, columns = config.sample_rows, config.sample_columns
        drawn = draw_of(params, key, jnp.repeat(jnp.arange(rows) % (classes or 1), columns))
        return drawn.reshape(rows, columns, height, width, channels)

    def report(params: Params) -> dict[str, Any]:
        both = evaluator(lambda p, b: jnp.stack(parts(p, b, None), axis=1), config)
        first, rest = both(params, images).mean(axis=0, dtype=np.float64)
        figures: dict[str, Any] = {"nats_of_the_small_image": float(first), "nats_of_the_rest": float(rest)}
        if single is not None:
            figures["nats_gained_over_single_scale"] = single - float(first + rest)
        return figures | judged(partial(draw_of, on_one_device(params)))

    return Experiment(init, loss, draw, score_of="p(x)" if classes is None else "p(x|y)", report=report)


if __name__ == "__main__":
    cli.main(make_experiment)
