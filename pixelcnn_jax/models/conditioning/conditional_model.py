"""Conditional models: a network and the conditioner that computes its h or s."""

from typing import Any, cast

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, DTypeLike, Float

from pixelcnn_jax.distributions import accumulation_dtype
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.autoregressive import Network, check_precision
from pixelcnn_jax.models.checks import as_array, as_rows, check_condition, check_values
from pixelcnn_jax.models.declarations import condition_sizes
from pixelcnn_jax.models.inputs import Condition, ConditionLike, ImagesLike, Map, Variables, params_of
from pixelcnn_jax.models.parameters import Params


class ConstantCondition(nn.Module):
    """A conditioner that gives every image the same one-hot vector h.

    Attributes:
      size: Length of h.
      index: Position of the one.
    """

    size: int
    index: int = 0

    def __call__(self, batch: int) -> Float[Array, "batch size"]:
        """Computes the vectors.

        Args:
          batch: Number of images.

        Returns:
          Equal one-hot vectors of shape [batch, size].
        """
        self.check(self.size)
        return jax.nn.one_hot(jnp.full(batch, self.index, jnp.int32), self.size)

    @nn.nowrap
    def check(self, size: int | None) -> None:
        """Checks the fields.

        Args:
          size: Length of the vector h of the network; None if it has none.

        Raises:
          InputError: If the size differs, or the index is not below it.
        """
        if self.size != size or not 0 <= self.index < size:
            raise InputError(f"size must be {size}, as h has, and index below it, got {self.size} and {self.index}.")


class ConditionalModel(nn.Module):
    """A model of p(x | h): a conditioner computes from h what the network reads, usually a map s.

    Use it for conditions that a network cannot read itself, such as sentences or sets of images. It is a Linen module.
    It is called, sampled and trained as a network is, but without s, and with the h that its conditioner takes.

    Attributes:
      network: The network, for example a ``GatedPixelCNN``. Do not initialise it: ``init`` of this model draws the
        variables of network and conditioner.
      conditioner: The module that computes the map s, of shape [batch, height, width, map_features], from h. Use
        ``Deconvolution`` if h is a vector, ``Upsampling`` for small images, ``TextEncoder`` for captions,
        ``SetEncoder`` for sets of images, or a module of your own. A ``ConstantCondition`` instead gives the network a
        vector h that is always the same. For classifier-free guidance, the conditioner needs a method
        ``null_condition(h)``, which returns the h of "no condition".
    """

    network: Any
    conditioner: Any

    init = Network.init

    def parameters(self, images: ImagesLike, h: ConditionLike | None = None) -> None:
        """Draws the parameters of both modules.

        Args:
          images: Integers in range, such as zeros. They are checked, but only their shape matters.
          h: What the conditioner takes.
        """
        getattr(self.network, "parameters", self.network)(images, **self.condition(h, len(images)).given())

    @property
    def levels(self) -> int:
        """Number of intensity levels of a sub-pixel."""
        return self.network.levels

    @property
    def channels(self) -> int:
        """Number of channels of a pixel."""
        return self.network.channels

    def __call__(
        self, images: ImagesLike, h: ConditionLike | None = None, **options: Any
    ) -> Float[Array, "batch height width channels levels"]:
        """Computes the logits of every sub-pixel given all earlier ones, as the network does.

        Args:
          images: Integers 0 to ``levels - 1``, or bool, of shape [batch, height, width, channels].
          h: What the conditioner takes, one row per image; None for a ``ConstantCondition``.
          **options: Further arguments of the network, such as ``deterministic``.

        Returns:
          Unnormalised log-probabilities, of shape [batch, height, width, channels, levels].

        Raises:
          InputError: If images or h do not fit the model.
        """
        return self.network(images, **self.condition(h, len(images)).given(), **options)

    def condition(self, h: ConditionLike | None, batch: int) -> Condition:
        """Computes the condition of the network from h.

        Args:
          h: What the conditioner takes, one row per image.
          batch: Number of images.

        Returns:
          The vector h or the map s of the network.

        Raises:
          InputError: If h is missing, or given to a constant condition.
        """
        is_constant = isinstance(self.conditioner, ConstantCondition)
        if is_constant != (h is None):
            constant = "left out: the condition of this model is constant."
            given = f"given for each of the {batch} images: this model is conditional."
            raise InputError(f"h must be {constant if is_constant else given}")
        return Condition(h=self.conditioner(batch)) if is_constant else Condition(s=self.conditioner(h))


def part_of(variables: Variables, name: str) -> dict[str, Any]:
    """Extracts the variables of a submodule."""
    return {collection: tree[name] for collection, tree in variables.items() if name in tree}


def make_null_condition(
    model: nn.Module, variables: Variables, h: ConditionLike | None, condition: Condition
) -> Condition:
    """Computes the null condition.

    Args:
      h: the caller's h.
      condition: from ``apply_conditioner``.

    Raises:
      InputError: the model has no condition, or its conditioner no ``null_condition``.
    """
    if not isinstance(model, ConditionalModel) and jax.tree.leaves(condition):
        if not all(jnp.issubdtype(x.dtype, jnp.floating) for x in jax.tree.leaves(condition)):
            raise InputError('guidance must be 0: this model reads integers, of which 0 does not mean "no condition".')
        return jax.tree.map(jnp.zeros_like, condition)
    null_condition = getattr(getattr(model, "conditioner", None), "null_condition", None)
    if null_condition is None or h is None:
        raise InputError("guidance must be 0: the model has no condition, or its conditioner no null_condition(h).")
    h = null_condition(as_rows("h", h, len(h), condition_dtype(model)))
    return cast(Condition, model.apply(variables, h, len(h), method="condition")) if _is_split(model) else Condition(h)


def _is_split(model: nn.Module) -> bool:
    """Whether a model can be split into network and condition: a ``ConditionalModel`` whose call is not overridden."""
    return isinstance(model, ConditionalModel) and type(model).__call__ is ConditionalModel.__call__


def apply_conditioner(
    model: nn.Module,
    variables: Variables,
    h: ConditionLike | None,
    s: Map | None,
    *,
    shape: tuple[int, ...],
    rngs: Any = None,
) -> tuple[nn.Module, Variables, Condition]:
    """Splits a model into its network, the network's variables, and its condition.

    Args:
      shape: of the images, or their batch, height and width.
      rngs: PRNG keys of the conditioner.

    Raises:
      InputError: variables, h or s do not fit; traced values are not checked.
    """
    variables = jax.tree.map(as_array, variables)
    dtype = condition_dtype(model)
    h, s = (x if x is None else as_rows(name, x, shape[0], dtype) for name, x in (("h", h), ("s", s)))
    if _is_split(model):
        if s is not None:
            raise InputError("s must be left out: this model makes its own map from h.")
        condition = cast(Condition, model.apply(variables, h, shape[0], method="condition", rngs=rngs))
        variables, model = part_of(variables, "network"), model.network
    else:
        condition = Condition(as_vectors(model, variables, h) if isinstance(model, Network) else h, s)
    condition = jax.tree.map(lambda x: jnp.asarray(x, dtype), condition)
    if isinstance(model, Network):  # other modules check their own
        params, model = params_of(variables), model.clone(parent=None, name=None)  # not bound: a static argument
        check_precision(model)
        check_params(model, params)
        check_condition(condition_sizes(model, params), condition, shape)
        model.check_given(condition)
    return model, variables, condition


def condition_dtype(model: nn.Module) -> DTypeLike | None:
    """Chooses the dtype of h and s: float32 or better for a network of this package, None (as given) for others."""
    network = model.network if _is_split(model) else model
    return accumulation_dtype(network.dtype) if isinstance(network, Network) else None


def check_params(model: Network, params: Params) -> None:
    """Raises InputError unless parameters have the network's names and shapes."""
    sizes = condition_sizes(model, params)
    condition = Condition(*(np.zeros(sizes[name]) if name in sizes else None for name in ("h", "s")))
    declared = flax.traverse_util.flatten_dict(model.parameter_shapes(condition))
    network_shapes = {path: kernel.shape for path, kernel in declared.items()}
    shapes = {name: np.shape(x) for name, x in flax.traverse_util.flatten_dict(params).items()}
    for name in [*network_shapes, *shapes]:
        if network_shapes.get(name) != shapes.get(name):
            raise InputError(
                f"variables must be those of this {type(model).__name__}: {'.'.join(map(str, name))} must have shape "
                f"{network_shapes.get(name)}, got {shapes.get(name)}."
            )


def as_vectors(model: Network, variables: Variables, h: Any) -> Any:
    """Converts class labels [batch] to one-hot vectors; keeps any other h.

    Raises:
      InputError: If a label is out of range. If the labels are traced, one out of range gives a vector of NaN instead.
    """
    sizes = condition_sizes(model, params_of(variables))
    if h is None or "h" not in sizes or h.ndim != 1 or not jnp.issubdtype(h.dtype, jnp.integer):
        return h
    check_values(h, sizes["h"], name="h")
    # Traced labels out of range give NaN, not the zeros of the null condition.
    is_class = ((h >= 0) & (h < sizes["h"]))[:, None]
    return jnp.where(is_class, jax.nn.one_hot(h, sizes["h"]), jnp.nan)
