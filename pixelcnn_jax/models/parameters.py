"""Parameters as trees: the shape of each, and its initial distribution."""

import itertools
import math
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

Params = dict[str, Any]


class Kernel(NamedTuple):
    """A kernel from ``inputs``, which are summed, to ``outputs``: normal, with variance ``gain`` over fan-in."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    gain: float = 1.0

    @property
    def scale(self) -> float:
        """The initial standard deviation."""
        return math.sqrt(self.gain / max(1, math.prod(self.inputs)))


class Bias(NamedTuple):
    """A bias, initially zero."""

    outputs: tuple[int, ...]
    inputs: tuple[int, ...] = ()
    scale: float = 0.0


def affine(inputs: tuple[int, ...], outputs: tuple[int, ...], *, gain: float = 1.0) -> Params:
    """Returns the shapes of a kernel, and of the bias of its outputs."""
    return {"kernel": Kernel(inputs, outputs, gain), "bias": Bias(outputs)}


def initialise(key: Key[Array, ""], shapes: Mapping[str, Any]) -> Params:
    """Draws a tree of arrays from a tree of ``Kernel`` and ``Bias``."""
    leaves, tree = jax.tree.flatten(shapes, is_leaf=lambda x: isinstance(x, Kernel | Bias))
    return jax.tree.unflatten(tree, _draw(key, tuple(leaves)))


# Outside of ``jit`` each operation on each array would be compiled on its own.
@partial(jax.jit, static_argnames="leaves")
def _draw(key: Key[Array, ""], leaves: tuple[Kernel | Bias, ...]) -> list[Array]:
    ends = list(itertools.accumulate(math.prod(leaf.inputs + leaf.outputs) for leaf in leaves))
    # One draw for all arrays: a network has dozens, and every generator takes long to compile.
    drawn = jnp.split(jax.random.normal(key, (ends[-1],)), ends[:-1])
    return [leaf.scale * x.reshape(leaf.inputs + leaf.outputs) for leaf, x in zip(leaves, drawn, strict=True)]


def initialise_stacked(key: Key[Array, ""], shapes: Mapping[str, Any], count: int) -> Params:
    """Draws ``count`` layers of equal shapes, stacked along a new first axis."""
    return jax.vmap(lambda key: initialise(key, shapes))(jax.random.split(key, count))


def layers_of(params: Params, count: int) -> list[Params]:
    """Returns the first layer and the ``count`` stacked ones as a list."""
    return [params["first"], *(jax.tree.map(lambda x, i=i: x[i], params["layers"]) for i in range(count))]
