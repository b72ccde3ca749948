"""A network together with the module that turns what is given into its condition.

The public functions (``sample``, ``log_prob``, ``compress`` ...) take a ``ConditionalModel`` wherever they take a
network. They call ``apply_conditioner`` once, and see only a network and its ``Condition`` after that.
"""

from typing import Any, cast

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.autoregressive import Network, check_precision, init_parameters
from pixelcnn_jax.models.inputs import (
    Condition,
    Given,
    GivenImages,
    Map,
    Variables,
    as_rows,
    check_condition,
    check_values,
    condition_sizes,
    params_of,
)
from pixelcnn_jax.models.parameters import Params


class ConstantCondition(nn.Module):
    """A conditioner without parameters: every image has the same one-hot h.

    It makes p(x) of a model trained on several views of each image, by naming the view.

    Attributes:
      size: length of h.
      index: position of the one.
    """

    size: int
    index: int = 0

    def __call__(self, batch: int) -> Float[Array, "batch size"]:
        return jax.nn.one_hot(jnp.full(batch, self.index, jnp.int32), self.size)

    @nn.nowrap
    def check(self, size: int | None) -> None:
        """Raises InputError unless the network was made for an h of this size, which has the index."""
        if self.size != size or not 0 <= self.index < size:
            raise InputError(f"The constant h must have size {size} and an index in it, got {self.size}, {self.index}.")


class ConditionalModel(nn.Module):
    """p(x | h), where a conditioner decides how the network receives h.

    Attributes:
      network: the network.
      conditioner: a module that turns h (a vector, small images or tokens) into the map s = m(h) of equation 5, or a
        ``ConstantCondition``, in which case no h is given. A method ``null_condition(h)`` returns what stands for "no
        condition" in place of h: without it, samples cannot be guided.
    """

    network: Any
    conditioner: Any

    init = init_parameters

    def parameters(self, images: GivenImages, h: Given | None = None) -> None:
        """Draws the parameters of both modules."""
        self.network.parameters(images, *self.condition(h, len(images)))

    @property
    def levels(self) -> int:
        """Number of values of a sub-pixel."""
        return self.network.levels

    @property
    def channels(self) -> int:
        """Number of channels of an image."""
        return self.network.channels

    def __call__(
        self, images: GivenImages, h: Given | None = None, **options: Any
    ) -> Float[Array, "batch height width channels levels"]:
        """Computes the logits of every sub-pixel."""
        return self.network(images, *self.condition(h, len(images)), **options)

    def condition(self, h: Given | None, batch: int) -> Condition:
        """Makes what the network is given of h.

        Raises:
          InputError: if h is missing, or given to a model whose condition is constant.
        """
        if isinstance(self.conditioner, ConstantCondition):
            if h is not None:
                raise InputError("h must be left out: the condition of this model is constant.")
            return Condition(h=self.conditioner(batch))
        if h is None:
            raise InputError(f"h must be given for each of the {batch} images: this model is conditional.")
        return Condition(s=self.conditioner(h))


def part_of(variables: Variables, name: str) -> dict[str, Any]:
    """Returns the variables of a submodule."""
    return {collection: tree[name] for collection, tree in variables.items() if name in tree}


def unconditional(model: nn.Module, variables: Variables, h: Given | None, condition: Condition) -> Condition:
    """Returns the condition that stands for "no condition", as training with dropped conditions has it.

    Args:
      model, variables: the model.
      h: what the caller of a public function gave.
      condition: what ``apply_conditioner`` made of it.

    Raises:
      InputError: if the model has no condition, or its conditioner does not say what stands for none.
    """
    if not isinstance(model, ConditionalModel) and jax.tree.leaves(condition):
        if not all(jnp.issubdtype(x.dtype, jnp.floating) for x in jax.tree.leaves(condition)):
            raise InputError('guidance must be 0: the zeros of "no condition" would be a class of this model.')
        return jax.tree.map(jnp.zeros_like, condition)
    null_condition = getattr(getattr(model, "conditioner", None), "null_condition", None)
    if null_condition is None or h is None:
        raise InputError("guidance must be 0: the model has no condition, or its conditioner no `null_condition(h)`.")
    return cast(Condition, model.apply(variables, null_condition(h), len(h), method="condition"))


def apply_conditioner(
    model: nn.Module,
    variables: Variables,
    h: Given | None,
    s: Map | None,
    *,
    shape: tuple[int, ...],
    rngs: Any = None,
) -> tuple[nn.Module, Variables, Condition]:
    """Returns the network of a model, the network's variables, and its condition.

    Args:
      model: a module, or a ``ConditionalModel``.
      variables: its variables.
      h, s: what the caller of a public function gave.
      shape: that of the images, or their batch, height and width.
      rngs: random keys of the conditioner, by name.

    Raises:
      InputError: if variables, h and s do not fit the model and the images, as far as traced values can be checked.
    """
    h, s = (x if x is None else as_rows(name, x, shape[0]) for name, x in (("h", h), ("s", s)))
    if isinstance(model, ConditionalModel):
        if s is not None:
            raise InputError("s must be left out: this model makes its own map from h.")
        condition = cast(Condition, model.apply(variables, h, shape[0], method="condition", rngs=rngs))
        variables, model = part_of(variables, "network"), model.network
    else:
        condition = Condition(as_vectors(variables, h) if isinstance(model, Network) else h, s)
    condition = jax.tree.map(jnp.asarray, condition)
    if isinstance(model, Network):  # any other module checks its own
        params = params_of(variables)
        check_precision(model)
        check_params(model, params)
        check_condition(params, condition, shape)
        model.check_given(condition)
    return model, variables, condition


def array_shapes(model: Network, condition: Condition) -> dict[tuple[str, ...], tuple[int, ...]]:
    """Returns the shapes of a network's parameters by their paths, those of the layers stacked."""
    return {
        name: (model.layers,) * (name[0] == "layers") + shape.inputs + shape.outputs
        for name, shape in flax.traverse_util.flatten_dict(model.parameter_shapes(condition)).items()
    }


def check_params(model: Network, params: Params) -> None:
    """Raises InputError unless parameters have the names and shapes of a network's."""
    sizes = condition_sizes(params)
    condition = Condition(*(np.zeros(sizes[name]) if name in sizes else None for name in ("h", "s")))
    wanted = array_shapes(model, condition)
    shapes = {name: np.shape(x) for name, x in flax.traverse_util.flatten_dict(params).items()}
    for name in [*wanted, *shapes]:
        if wanted.get(name) != shapes.get(name):
            raise InputError(
                f"variables must be those of this {type(model).__name__}: {'.'.join(map(str, name))} must have shape "
                f"{wanted.get(name)}, got {shapes.get(name)}."
            )


def as_vectors(variables: Variables, h: Any) -> Any:
    """Makes one-hot vectors of class labels [batch]; any other h stays as it is.

    Raises:
      InputError: for a label that is not below the length of the h that the variables were made for.
    """
    sizes = condition_sizes(params_of(variables))
    if h is None or "h" not in sizes or h.ndim != 1 or not jnp.issubdtype(h.dtype, jnp.integer):
        return h
    check_values(h, sizes["h"], name="h")
    vectors = jax.nn.one_hot(h, sizes["h"])
    # A traced label is not checked: one that is too high gives NaN, and not the zeros of "no condition".
    is_class = ((h >= 0) & (h < sizes["h"]))[:, None]
    return jnp.where(is_class, vectors, jnp.nan) if isinstance(h, jax.core.Tracer) else vectors
