"""Building blocks of experiments."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, UInt32

from pixelcnn_jax import nll, sample
from pixelcnn_jax.foundation.fields import field
from pixelcnn_jax.models.autoregressive import Network
from pixelcnn_jax.models.conditioning.conditional_model import ConditionalModel
from pixelcnn_jax.models.conditioning.encoders import Deconvolution
from pixelcnn_jax.models.inputs import Images, ImageSpec
from pixelcnn_jax.training.experiment import Networks, Params
from pixelcnn_jax.zoo.registry import ModelConfig, make_network


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """An image encoder."""

    encoder_features: tuple[int, ...] = field((32, 64, 128), "hidden channels per stage of the encoder", min=1)
    bottleneck: int = field(10, "length of h", min=1)


@dataclass(frozen=True, kw_only=True)
class Mapped:
    """A condition h, by the biases or by a map."""

    map_features: int = field(0, "channels of s = m(h) (equation 5); 0 for V h", min=0)


def blank(spec: ImageSpec) -> Array:
    """Makes an image of zeros, for initialisation."""
    return jnp.zeros((1, *spec.shape), jnp.int32)


def fingerprint(images: Images) -> UInt32[Array, " batch"]:
    """Hashes each image, to seed draws independently of the batch."""
    flat = jnp.asarray(images).reshape(len(images), -1).astype(jnp.uint32)
    weights = np.random.default_rng(0).integers(2**32, size=(1, flat.shape[1]), dtype=np.uint32)
    return jnp.sum(flat * weights, axis=1, dtype=jnp.uint32)  # modulo 2**32


def make_conditional(config: ModelConfig, spec: ImageSpec, *, map_features: int) -> Network | ConditionalModel:
    """Builds a model of p(x | h) for vectors h.

    Args:
      map_features: channels of s = m(h) (equation 5); 0 for V h (equation 4).
    """
    network = make_network(config, spec)
    if not map_features:
        return network
    return ConditionalModel(network, Deconvolution((spec.height, spec.width, map_features)))


def init_of(model: Any, spec: ImageSpec, *condition: Any) -> Callable[[Key[Array, ""]], Params]:
    """Builds the init of an experiment with one model."""
    return lambda key: dict(model.init(key, blank(spec), *condition))


def init_of_each(networks: Networks, inputs: Mapping[str, tuple[Any, ...]]) -> Callable[[Key[Array, ""]], Params]:
    """Builds the init of an experiment with several networks."""

    def init(key: Key[Array, ""]) -> Params:
        keys = zip(inputs, jax.random.split(key, len(inputs)), strict=True)
        return {name: dict(networks[name].init(its_key, *inputs[name])) for name, its_key in keys}

    return init


def nats_given_each(model: Any, params: Params, images: Images, conditions: Array) -> Float[Array, "batch conditions"]:
    """Computes the nats of each image given each condition."""
    count = len(images)
    return jax.lax.map(lambda h: nll(model, params, images, h=jnp.repeat(h[None], count, axis=0)), conditions).T


def drawer(model: Any, params: Params, spec: ImageSpec, **options: Any) -> Callable[[Key[Array, ""], Array], Array]:
    """Builds a function that draws an image per condition."""
    return lambda key, h: sample(model, params, key, shape=(len(h), *spec.shape[:2]), h=h, **options)


def draw_grid(
    model: Any, params: Params, key: Key[Array, "..."], spec: ImageSpec, rows: int, columns: int, **options: Any
) -> Array:
    """Draws a grid of images, row by row."""
    images = sample(model, params, key, shape=(rows * columns, spec.height, spec.width), **options)
    return images.reshape(rows, columns, *spec.shape)
