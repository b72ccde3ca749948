"""Small networks of every class, and the references that they must equal."""

from functools import cache
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import reference
import reference_predecessors
from proofs import random_condition, random_images, randomised

from pixelcnn_jax import DiagonalBiLSTM, GatedPixelCNN, PixelCNN, RowLSTM

CLASSES = 4  # of ``Table``
PREDECESSORS = (PixelCNN, RowLSTM, DiagonalBiLSTM)
NETWORKS = (GatedPixelCNN, *PREDECESSORS)
GREY = dict(levels=3, features=8, layers=2, first_kernel_size=3)
COLOUR = dict(levels=2, channels=3, features=13, layers=1, head_features=25, first_kernel_size=3)
# name: (attributes, height and width, size of h, size of s)
OF_ALL = {
    "grey": (GREY, (5, 6), 0, 0),
    "colour": (COLOUR, (3, 4), 0, 0),
    "wide kernels": (GREY | dict(layers=1, kernel_size=5, first_kernel_size=5), (4, 9), 0, 0),
    "h and s": (COLOUR, (3, 2), 2, 3),
    "codes": (dict(levels=5, channels=2, features=12, layers=1, code_features=3), (3, 3), 0, 0),
}
OF_GATED = OF_ALL | {
    "grey": (dict(levels=3, features=8, layers=2), (5, 6), 0, 0),
    "colour": (dict(levels=2, channels=3, features=25, layers=2, first_kernel_size=3), (3, 4), 0, 0),
    "wide kernels": (dict(levels=2, features=8, layers=1, kernel_size=5, first_kernel_size=5), (7, 9), 0, 0),
    "two channels": (dict(levels=4, channels=2, features=17, layers=1, head_features=19), (3, 3), 0, 0),
    "h": (dict(levels=2, channels=3, features=24, layers=1), (3, 2), 5, 0),
    "s": (dict(levels=2, features=8, layers=2), (3, 4), 0, 3),
    "attention": (dict(levels=3, features=8, layers=3, attention=1), (10, 2), 0, 0),
    "bfloat16": (dict(levels=2, channels=3, features=24, layers=1, dtype=jnp.bfloat16), (3, 2), 5, 3),
}
CASES = [(network, name) for network in NETWORKS for name in (OF_GATED if network is GatedPixelCNN else OF_ALL)]
CASES.remove((DiagonalBiLSTM, "wide kernels"))  # it has no kernel that could be wide


class Table(nn.Module):
    """A user's network: the logits of every sub-pixel are those of its class."""

    levels: int = 3
    channels: int = 1

    @nn.compact
    def __call__(self, images, h):
        table = self.param("table", nn.initializers.normal(1.0), (CLASSES, self.levels))
        logits = table[~h] if jnp.issubdtype(h.dtype, jnp.integer) else h @ table
        return jnp.broadcast_to(logits[:, None, None, None], (*images.shape, self.levels))


class Uniform(nn.Module):
    """A user's module without parameters: all levels are equally likely."""

    levels: int
    channels: int = 1
    traced: ClassVar = []  # the shapes of images for which it was compiled

    @nn.compact
    def __call__(self, images):
        self.traced.append(images.shape)
        return jnp.zeros((*images.shape, self.levels))


@cache
def build(network, name):
    attributes, shape, h, s = (OF_GATED if network is GatedPixelCNN else OF_ALL)[name]
    return build_model(network(**attributes), shape, h, s, scale=0.1 if network is GatedPixelCNN else 0.2)


def build_model(model, shape, h=0, s=0, *, batch=1, scale=0.3):
    condition = random_condition((batch, *shape), h, s)
    variables = model.init(jax.random.key(1), random_images(model, (batch, *shape)), *condition)
    return model, randomised(variables, scale=scale), shape, condition


def matches_the_reference(model, variables, shape, condition):
    image = random_images(model, (1, *shape), key=2)
    given = (None if value is None else np.asarray(value[0]) for value in condition)
    written_out = reference if isinstance(model, GatedPixelCNN) else reference_predecessors
    expected = written_out.reference_logits(model, variables["params"], np.asarray(image[0]), *given)
    actual = model.apply(variables, image, *condition)[0]
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)
