"""A network together with the module that turns what is given into its condition.

The public functions (``sample``, ``log_prob``, ``compress`` ...) take a ``ConditionalModel`` wherever they take a
network. They call ``resolve`` once, and see only a network and its ``Condition`` after that.
"""

from dataclasses import dataclass
from typing import Any, cast

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.autoregressive import Network, check_precision
from pixelcnn_jax.models.inputs import (
    Condition,
    Given,
    Images,
    Map,
    Variables,
    as_rows,
    check_condition,
    check_values,
    condition_sizes,
    params_of,
)
from pixelcnn_jax.models.parameters import Params


@dataclass(frozen=True)
class ConstantCondition:
    """A conditioner without parameters: every image has the same one-hot h.

    It makes a model of p(x) out of one trained on several views of each image, by naming the view.

    Attributes:
      size: length of h.
      index: position of the one.
    """

    size: int
    index: int = 0

    def __call__(self, batch: int) -> Float[Array, "batch size"]:
        """Returns the h of a batch."""
        return jax.nn.one_hot(jnp.full(batch, self.index, jnp.int32), self.size)

    def check(self, size: int | None) -> None:
        """Raises InputError unless the network was made for an h of this size, which has the index."""
        if self.size != size or not 0 <= self.index < size:
            raise InputError(f"The constant h must have size {size} and an index in it, got {self.size}, {self.index}.")


@dataclass(frozen=True)
class ConditionalModel:
    """p(x | h), where a conditioner decides how the network receives h.

    The variables are those of the network and, if the conditioner is a module, its parameters as "map".

    Attributes:
      network: the network.
      conditioner: a module that turns h (a vector, small images or tokens) into the map s = m(h) of equation 5, or a
        ``ConstantCondition``, in which case no h is given. A method ``nothing(h)`` returns what stands for "no
        condition" in place of h: without it, samples cannot be guided.
    """

    network: Network
    conditioner: nn.Module | ConstantCondition

    @property
    def levels(self) -> int:
        """Number of values of a sub-pixel."""
        return self.network.levels

    @property
    def channels(self) -> int:
        """Number of channels of an image."""
        return self.network.channels

    def init(self, key: Key[Array, ""], images: Images, h: Given | None = None) -> dict[str, Any]:
        """Returns new variables, given a batch of images and their h; only shapes matter."""
        if isinstance(self.conditioner, ConstantCondition):
            return dict(self.network.init(key, images, self.conditioner(len(images))))
        if h is None:
            raise InputError("h must be given: this model is conditional.")
        network_key, map_key = jax.random.split(key)
        s, variables = self.conditioner.init_with_output(map_key, h)
        return {**self.network.init(network_key, images, None, s), "map": variables.get("params", {})}

    def condition(self, variables: Variables, h: Given | None, *, batch: int) -> Condition:
        """Returns what the network is given.

        Raises:
          InputError: if h is missing, or given to a model whose condition is constant.
        """
        if isinstance(self.conditioner, ConstantCondition):
            if h is not None:
                raise InputError("h must be left out: the condition of this model is constant.")
            return Condition(h=self.conditioner(batch))
        if h is None:
            raise InputError(f"h must be given for each of the {batch} images: this model is conditional.")
        return Condition(s=cast(Array, self.conditioner.apply({"params": variables.get("map", {})}, h)))


def unconditional(
    model: nn.Module | ConditionalModel, variables: Variables, h: Given | None, condition: Condition
) -> Condition:
    """Returns the condition that stands for "no condition", as training with dropped conditions has it.

    Args:
      model, variables: the model.
      h: what the caller of a public function gave.
      condition: what ``resolve`` made of it.

    Raises:
      InputError: if the model has no condition, or its conditioner does not say what stands for none.
    """
    if not isinstance(model, ConditionalModel) and jax.tree.leaves(condition):
        if not all(jnp.issubdtype(x.dtype, jnp.floating) for x in jax.tree.leaves(condition)):
            raise InputError('guidance must be 0: the zeros of "no condition" would be a class of this model.')
        return jax.tree.map(jnp.zeros_like, condition)
    nothing = getattr(getattr(model, "conditioner", None), "nothing", None)
    if nothing is None:
        raise InputError("guidance must be 0: the model has no condition, or its conditioner has no method nothing(h).")
    return cast(ConditionalModel, model).condition(variables, nothing(h), batch=len(cast(Array, h)))


def resolve(
    model: nn.Module | ConditionalModel, variables: Variables, h: Given | None, s: Map | None, *, shape: tuple[int, ...]
) -> tuple[nn.Module, Variables, Condition]:
    """Returns the network of a model, the network's variables, and its condition.

    Args:
      model: a module, or a ``ConditionalModel``.
      variables: its variables.
      h, s: what the caller of a public function gave.
      shape: that of the images, or their batch, height and width.

    Raises:
      InputError: if variables, h and s do not fit the model and the images, as far as traced values can be checked.
    """
    h, s = (x if x is None else as_rows(name, x, shape[0]) for name, x in (("h", h), ("s", s)))
    if isinstance(model, ConditionalModel):
        if s is not None:
            raise InputError("s must be left out: this model makes its own map from h.")
        condition = model.condition(variables, h, batch=shape[0])
        variables = {name: value for name, value in variables.items() if name != "map"}
        model = model.network
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


def init_conditional(
    model: Network | ConditionalModel, key: Key[Array, ""], images: Images, h: Given
) -> dict[str, Any]:
    """Returns new variables of a model of p(x | h) that receives h by its biases (V h) or by a map (s = m(h)).

    The network draws its parameters from the same key in both cases.
    """
    if isinstance(model, ConditionalModel):
        return model.init(key, images, h)
    return dict(model.init(jax.random.split(key)[0], images, h))
