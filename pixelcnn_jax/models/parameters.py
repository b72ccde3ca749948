"""Parameters as trees: the shape of each, and how it begins."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Key

Params = dict[str, Any]


class Kernel(NamedTuple):
    """A kernel that sums over ``inputs`` and gives ``outputs``: normal, of variance ``gain`` over the inputs summed."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    gain: float = 1.0

    @property
    def scale(self) -> float:
        """The standard deviation it begins with."""
        return math.sqrt(self.gain / max(1, math.prod(self.inputs)))


class Bias(NamedTuple):
    """A bias, which begins at zero."""

    outputs: tuple[int, ...]
    inputs: tuple[int, ...] = ()
    scale: float = 0.0


def initialise(key: Key[Array, ""], shapes: dict[str, Any]) -> Params:
    """Draws a tree of arrays from a tree of ``Kernel`` and ``Bias``."""
    leaves, tree = jax.tree.flatten(shapes, is_leaf=lambda x: isinstance(x, Kernel | Bias))
    ends = np.cumsum([math.prod(leaf.inputs + leaf.outputs) for leaf in leaves])
    # All numbers are drawn at once: compiling a generator takes long, and a network has dozens of arrays.
    drawn = jnp.split(jax.random.normal(key, (int(ends[-1]),)), ends[:-1])
    arrays = [leaf.scale * x.reshape(leaf.inputs + leaf.outputs) for leaf, x in zip(leaves, drawn, strict=True)]
    return jax.tree.unflatten(tree, arrays)


def initialise_stacked(key: Key[Array, ""], shapes: dict[str, Any], count: int) -> Params:
    """Draws ``count`` layers of the same shapes, stacked along a new first axis."""
    return jax.vmap(lambda key: initialise(key, shapes))(jax.random.split(key, count))
