"""Parameters as trees: the shape of each, and how it begins."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

Params = dict[str, Any]


class Kernel(NamedTuple):
    """A kernel that sums over ``inputs`` and gives ``outputs``: normal, of variance ``gain`` over the inputs summed."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    gain: float = 1.0

    def init(self, key: Key[Array, ""]) -> Float[Array, "..."]:
        scale = math.sqrt(self.gain / max(1, math.prod(self.inputs)))
        return scale * jax.random.normal(key, self.inputs + self.outputs)


class Bias(NamedTuple):
    """A bias, which begins at zero."""

    outputs: tuple[int, ...]

    def init(self, key: Key[Array, ""]) -> Float[Array, "..."]:
        return jnp.zeros(self.outputs)


def initialise(key: Key[Array, ""], shapes: dict[str, Any]) -> Params:
    """Draws a tree of arrays from a tree of ``Kernel`` and ``Bias``."""
    leaves, tree = jax.tree.flatten(shapes, is_leaf=lambda x: isinstance(x, Kernel | Bias))
    keys = jax.random.split(key, len(leaves))
    return tree.unflatten([leaf.init(key) for leaf, key in zip(leaves, keys, strict=True)])


def initialise_stacked(key: Key[Array, ""], shapes: dict[str, Any], count: int) -> Params:
    """Draws ``count`` layers of the same shapes, stacked along a new first axis."""
    return jax.vmap(lambda key: initialise(key, shapes))(jax.random.split(key, count))
