"""Models by name: from a config to a network, and from any module of this package to JSON and back."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import flax.linen as nn
import numpy as np

from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.foundation.fields import field
from pixelcnn_jax.models.autoregressive import Network
from pixelcnn_jax.models.conditioning.conditional import ConditionalModel, ConstantCondition
from pixelcnn_jax.models.conditioning.encoders import Deconvolution, Encoder, Upsampling
from pixelcnn_jax.models.conditioning.set_encoder import SetEncoder
from pixelcnn_jax.models.conditioning.text_encoder import TextEncoder
from pixelcnn_jax.models.gated_pixelcnn import GatedPixelCNN
from pixelcnn_jax.models.inputs import ImageSpec
from pixelcnn_jax.models.predecessors.pixelcnn import PixelCNN
from pixelcnn_jax.models.predecessors.pixelrnn import DiagonalBiLSTM, RowLSTM

NETWORKS: dict[str, type[Any]] = {
    network.__name__: network for network in (GatedPixelCNN, PixelCNN, RowLSTM, DiagonalBiLSTM)
}
DESCRIBED: dict[str, type] = NETWORKS | {
    one.__name__: one
    for one in (
        ConditionalModel,
        ConstantCondition,
        Deconvolution,
        Encoder,
        SetEncoder,
        TextEncoder,
        Upsampling,
    )
}

BUILT_IN = frozenset({*DESCRIBED, "IntegerPixelCNN"})  # the codec adds that one to DESCRIBED
Class = TypeVar("Class", bound=type)


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The network of a run.

    The fields are those of ``Network``, without ``levels`` and ``channels``, which the data decides.
    """

    network: str = field("GatedPixelCNN", "class of the network", choices=NETWORKS)
    features: int = field(
        64, "p, feature maps of each stack; of the older networks h, half of their maps", least=1, most=2**20
    )
    layers: int = field(7, "number of layers after the first", least=1, most=2**12)
    kernel_size: int = field(3, "n of the n x n filters, odd", least=3, most=2**10)
    first_kernel_size: int = field(7, "n of the first layer, odd", least=3, most=2**10)
    head_features: int | None = field(
        None, "feature maps between the two 1x1 of the head; None for p", least=1, most=2**20
    )
    dropout: float = field(0.0, "fraction of features dropped in training, in steps of 1/256", least=0, most=0.99)
    code_features: int = field(
        0, "0 to read intensities; else the size of the embedding of a code", least=0, most=2**20
    )
    mixture: int = field(
        0, "0 for a softmax over the levels; else the number of discretised logistics", least=0, most=2**12
    )
    point_masses: bool = field(False, "add point masses at the lowest and the highest level to a mixture")
    # float16 needs loss scaling, which the train loop has not; as the type of a trained model it is fine.
    dtype: str = field("float32", "type of the products in training", choices=("float32", "bfloat16"))
    remat: bool = field(False, "recompute each layer in the backward pass: a third more time, far less memory")


def make_network(config: ModelConfig, spec: ImageSpec) -> Any:
    """Returns the network of a config for images of a spec.

    Raises:
      InputError: if the network cannot be built.
    """
    fields, defaults = dataclasses.asdict(config), dataclasses.asdict(ModelConfig())
    network = NETWORKS[fields.pop("network")]
    for name in fields.keys() - {one.name for one in dataclasses.fields(network)}:
        if fields.pop(name) != defaults[name]:
            raise InputError(f"config.model.{name} must stay {defaults[name]}: {config.network} has no such field.")
    return network(levels=spec.levels, channels=spec.channels, **fields)


def make_conditional(config: ModelConfig, spec: ImageSpec, *, map_features: int) -> Network | ConditionalModel:
    """Returns a model of p(x | h) for vectors h.

    Args:
      config: the network.
      spec: the images.
      map_features: 0 to add V h to the biases (equation 4); else the number of feature maps of s = m(h) (equation 5).
    """
    network = make_network(config, spec)
    if not map_features:
        return network
    return ConditionalModel(network, Deconvolution((spec.height, spec.width, map_features)))


def register(network: Class) -> Class:
    """Registers a user's class, so that cards can name it. Use it as a decorator, or call it before loading.

    A class with the fields ``levels`` and ``channels`` can also be ``config.model.network``: a config file is Python
    and can import it.

    Args:
      network: a class of Linen modules, or any dataclass.

    Returns:
      The class.

    Raises:
      InputError: if it is not a dataclass, or has the name of a class of this package.
    """
    if not isinstance(network, type) or not dataclasses.is_dataclass(network):
        raise InputError(f"register takes a class of Linen modules, got {network!r:.100}.")
    if network.__name__ in BUILT_IN:
        raise InputError(f"{network.__name__} is a class of this package: give yours a different name.")
    DESCRIBED[network.__name__] = network
    if {"levels", "channels"} <= {one.name for one in dataclasses.fields(network)}:
        NETWORKS[network.__name__] = network
    return network


def describe(model: Any) -> dict[str, Any]:
    """Returns a model as JSON: its class and hyperparameters; or each model of a dict by its name.

    Args:
      model: a Linen module, a ``ConditionalModel``, or a dict of these, nested or not. Only classes of this package and
        registered classes can be rebuilt from the description. A hyperparameter that is not JSON, for example a
        function, is omitted if it is the default of its class. Otherwise it is described by name, and the model cannot
        be rebuilt.

    Raises:
      InputError: for any other model.
    """
    if isinstance(model, Mapping):
        return {str(name): describe(part) for name, part in model.items()}
    if isinstance(model, type) or not dataclasses.is_dataclass(model):
        raise InputError(f"model must be a Linen module or a ConditionalModel, got {model!r:.100}.")
    kind, skipped = type(model), ("parent", "name") if isinstance(model, nn.Module) else ()
    is_known = DESCRIBED.get(kind.__name__, kind) is kind  # a class of the same name would be built in its place
    described: dict[str, Any] = {"class": kind.__name__ if is_known else f"{kind.__module__}.{kind.__name__}"}
    for one in dataclasses.fields(model):
        if one.init and one.name not in skipped:
            value = getattr(model, one.name)
            text = _as_json(value, one.name)
            # An object that is the default, such as an activation function, comes back with the class.
            if not (isinstance(text, dict) and value is one.default):
                described[one.name] = text
    return described


def _as_json(value: Any, name: str = "") -> Any:
    if name.endswith("dtype") and value is not None:
        return np.dtype(value).name
    if isinstance(value, Mapping):
        return {str(key): _as_json(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [_as_json(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return describe(value)
    return {"class": getattr(value, "__qualname__", type(value).__name__)}


def build(description: Any) -> Any:
    """Returns the model that ``describe`` described.

    Raises:
      InputError: for a class that is neither of this package nor registered, and for hyperparameters that it lacks.
    """
    if not isinstance(description, Mapping):
        raise InputError(f"networks must be described by class and hyperparameters, got {description!r:.50}.")
    if "class" not in description:
        return {name: build(part) for name, part in description.items()}
    if (kind := description["class"]) not in DESCRIBED:
        raise InputError(
            f"class {kind!s:.50} is unknown: register it first with @pixelcnn_jax.register, or pass the networks: "
            "load_pretrained(..., model=...)."
        )
    try:
        return DESCRIBED[kind](**{name: _from_json(x) for name, x in description.items() if name != "class"})
    except TypeError as error:
        raise InputError(f"{kind} cannot be built: {error}.") from None


def _from_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return build(value) if "class" in value else {key: _from_json(one) for key, one in value.items()}
    return tuple(map(_from_json, value)) if isinstance(value, list) else value
