"""Parameters as they are declared (``Kernel``: axes, stacked layers, reading h or s), and how they are drawn."""

import itertools
import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, DTypeLike, Key

Params = dict[str, Any]


class Kernel(NamedTuple):
    """The declaration of one parameter: what it multiplies, how it is initialised and how an optimizer may treat it.

    Attributes:
      inputs: Sizes of the axes that are summed over; empty for a bias or a table.
      outputs: Sizes of the other axes, which follow the inputs.
      gain: The initial values are normal with variance ``gain`` over the number of inputs; 0 gives zeros.
      reads: "h" or "s" if the kernel multiplies that condition, so that its size follows from the parameters.
      layers: Number of stacked layers, along an additional first axis; None if there is no such axis.
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    gain: float = 1.0
    reads: str | None = None
    layers: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the parameter."""
        return (() if self.layers is None else (self.layers,)) + self.inputs + self.outputs

    @property
    def is_bias(self) -> bool:
        """Whether the parameter is added rather than multiplied."""
        return not self.inputs and self.gain == 0

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


def stack(shapes: Params, count: int) -> Params:
    """Declares ``count`` layers like the given one, stacked along a new first axis."""
    return jax.tree.map(lambda kernel: kernel._replace(layers=count), shapes, is_leaf=lambda x: isinstance(x, Kernel))


def initialise(key: Key[Array, ""], shapes: Params, dtype: DTypeLike) -> Params:
    """Draws a pytree of arrays for a pytree of ``Kernel``, which must all have the same number of stacked layers."""
    leaves, tree = jax.tree.flatten(shapes, is_leaf=lambda x: isinstance(x, Kernel))
    (count,) = {kernel.layers for kernel in leaves}
    draw = partial(_draw, leaves=tuple(leaves), dtype=dtype)
    return jax.tree.unflatten(tree, draw(key) if count is None else jax.vmap(draw)(jax.random.split(key, count)))


# Eagerly, each operation on each array would be compiled.
@partial(jax.jit, static_argnames=("leaves", "dtype"))
def _draw(key: Key[Array, ""], leaves: tuple[Kernel, ...], dtype: DTypeLike) -> list[Array]:
    ends = list(itertools.accumulate(math.prod(leaf.inputs + leaf.outputs) for leaf in leaves))
    # One draw for dozens of arrays: each PRNG call takes long to compile.
    drawn = jnp.split(jax.random.normal(key, (ends[-1],), dtype), ends[:-1])
    return [leaf.scale * x.reshape(leaf.inputs + leaf.outputs) for leaf, x in zip(leaves, drawn, strict=True)]


def layers_of(params: Params, count: int) -> list[Params]:
    """Lists the first layer and the ``count`` stacked ones."""
    return [params["first"], *(jax.tree.map(lambda x, i=i: x[i], params["layers"]) for i in range(count))]
