"""The network that a config names, and how it is told a vector h."""

from dataclasses import dataclass
from typing import cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key
from ml_collections import ConfigDict

from pixelcnn_jax import sample
from pixelcnn_jax.errors import InputError
from pixelcnn_jax.likelihood import nats_of
from pixelcnn_jax.models.autoregressive import Network
from pixelcnn_jax.models.encoders import Deconvolution
from pixelcnn_jax.models.inputs import Condition, Vector
from pixelcnn_jax.models.parameters import Params
from pixelcnn_jax.pretrained import NETWORKS
from pixelcnn_jax.training.loop import Splits


def make_network(config: ConfigDict, *, levels: int, channels: int) -> Network:
    """The network of ``config.network`` with the fields of ``config.model``. Raises InputError for an unknown one."""
    if config.network not in NETWORKS:
        raise InputError(f"network must be one of {', '.join(NETWORKS)}, not {config.network}.")
    try:
        return NETWORKS[config.network](levels=levels, channels=channels, **config.model)
    except TypeError as error:  # a field of the config's own
        raise InputError(f"config.model does not fit {config.network}: {error}.") from None


@dataclass(frozen=True)
class Decoder:
    """p(x|h) for a vector h: in the biases, V h (equation 4), or by place, s = m(h) (equation 5).

    Attributes:
      model: the network.
      shape: height, width and channels of an image.
      deconvolution: the m of s = m(h); None for V h.
    """

    model: Network
    shape: tuple[int, int, int]
    deconvolution: Deconvolution | None

    def init(self, key: Key[Array, ""], condition: int) -> Params:
        """Variables of the network for an h of so many numbers, those of m beside them as "map"."""
        network_key, map_key = jax.random.split(key)
        image, h = jnp.zeros((1, *self.shape), jnp.int32), jnp.zeros((1, condition))
        if self.deconvolution is None:
            return dict(self.model.init(network_key, image, h))
        variables = self.deconvolution.init(map_key, h)
        s = jnp.zeros((1, *self.deconvolution.shape))
        return {**self.model.init(network_key, image, None, s), "map": variables["params"]}

    def nats(
        self, params: Params, images: Array, h: Vector, key: Key[Array, ""] | None = None
    ) -> Float[Array, " batch"]:
        """-log p(x|h) of each image; with a key, by dropout's noise."""
        return nats_of(self.model, params, images, **self.told(params, h)._asdict(), key=key)

    def draw(self, params: Params, key: Key[Array, "..."], h: Vector) -> Int[Array, "batch height width channels"]:
        """A sample of each h, by one key, or by a key each."""
        size = (len(h), *self.shape[:2])
        return sample(self.model, params, key, shape=size, **self.told(params, h)._asdict())

    def told(self, params: Params, h: Vector) -> Condition:
        """What the network is given for h."""
        if self.deconvolution is None:
            return Condition(h=h)
        return Condition(s=cast(Array, self.deconvolution.apply({"params": params["map"]}, h)))


def make_decoder(config: ConfigDict, splits: Splits) -> Decoder:
    """The network of a config for the images of its splits, told by place where the config has ``map_features``."""
    height, width, channels = splits.train.shape
    by_place = Deconvolution((height, width, config.map_features)) if config.map_features else None
    model = make_network(config, levels=splits.train.levels, channels=channels)
    return Decoder(model, (height, width, channels), by_place)
