"""Parameters as pytrees of shapes, and their initialisation."""

import itertools
import math
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, DTypeLike, Key

Params = dict[str, Any]


class Kernel(NamedTuple):
    """A kernel, initially normal with variance ``gain`` over fan-in, or a bias of gain 0."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    gain: float = 1.0

    @property
    def scale(self) -> float:
        """Initial standard deviation."""
        return math.sqrt(self.gain / max(1, math.prod(self.inputs)))


def bias(outputs: tuple[int, ...]) -> Kernel:
    """Declares a bias, initially zero."""
    return Kernel((), outputs, gain=0.0)


def affine(inputs: tuple[int, ...], outputs: tuple[int, ...], *, gain: float = 1.0) -> Params:
    """Declares a kernel and a bias."""
    return {"kernel": Kernel(inputs, outputs, gain), "bias": bias(outputs)}


def initialise(key: Key[Array, ""], shapes: Mapping[str, Any], dtype: DTypeLike) -> Params:
    """Draws a pytree of arrays from one of ``Kernel``."""
    leaves, tree = jax.tree.flatten(shapes, is_leaf=lambda x: isinstance(x, Kernel))
    return jax.tree.unflatten(tree, _draw(key, tuple(leaves), dtype))


# Eagerly, each operation on each array would be compiled.
@partial(jax.jit, static_argnames=("leaves", "dtype"))
def _draw(key: Key[Array, ""], leaves: tuple[Kernel, ...], dtype: DTypeLike) -> list[Array]:
    ends = list(itertools.accumulate(math.prod(leaf.inputs + leaf.outputs) for leaf in leaves))
    # One draw for dozens of arrays: each PRNG call takes long to compile.
    drawn = jnp.split(jax.random.normal(key, (ends[-1],), dtype), ends[:-1])
    return [leaf.scale * x.reshape(leaf.inputs + leaf.outputs) for leaf, x in zip(leaves, drawn, strict=True)]


def initialise_stacked(key: Key[Array, ""], shapes: Mapping[str, Any], dtype: DTypeLike, *, count: int) -> Params:
    """Draws ``count`` layers, stacked along a new first axis."""
    return jax.vmap(lambda key: initialise(key, shapes, dtype))(jax.random.split(key, count))


def layers_of(params: Params, count: int) -> list[Params]:
    """Lists the first layer and the ``count`` stacked ones."""
    return [params["first"], *(jax.tree.map(lambda x, i=i: x[i], params["layers"]) for i in range(count))]
