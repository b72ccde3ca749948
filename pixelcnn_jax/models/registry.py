"""Models by name: from a config to a network, and from any module of this package to JSON and back."""

import dataclasses
import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import flax.linen as nn
import numpy as np

from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.foundation.fields import field
from pixelcnn_jax.models.autoregressive import Network
from pixelcnn_jax.models.conditioning.conditional import ConditionalModel
from pixelcnn_jax.models.conditioning.encoders import Deconvolution
from pixelcnn_jax.models.inputs import ImageSpec

NETWORKS = {  # classes that a config names, and their modules
    "GatedPixelCNN": "pixelcnn_jax.models.gated_pixelcnn",
    "PixelCNN": "pixelcnn_jax.models.predecessors.pixelcnn",
    "RowLSTM": "pixelcnn_jax.models.predecessors.pixelrnn",
    "DiagonalBiLSTM": "pixelcnn_jax.models.predecessors.pixelrnn",
}
MODULES = NETWORKS | {  # of this package's classes that a card names
    "ConditionalModel": "pixelcnn_jax.models.conditioning.conditional",
    "ConstantCondition": "pixelcnn_jax.models.conditioning.conditional",
    "Deconvolution": "pixelcnn_jax.models.conditioning.encoders",
    "Encoder": "pixelcnn_jax.models.conditioning.encoders",
    "IntegerPixelCNN": "pixelcnn_jax.codec.integer",
    "SetEncoder": "pixelcnn_jax.models.conditioning.set_encoder",
    "TextEncoder": "pixelcnn_jax.models.conditioning.text_encoder",
    "Upsampling": "pixelcnn_jax.models.conditioning.encoders",
}
REGISTERED: dict[str, type] = {}  # users' classes
Class = TypeVar("Class", bound=type)


def class_named(name: str) -> Any:
    """Loads the class that a card names. Raises InputError for one that is neither ours nor registered."""
    if name in MODULES:
        return getattr(importlib.import_module(MODULES[name]), name)
    if name not in REGISTERED:
        raise InputError(
            f"class {name!s:.50} is unknown: register it first with @pixelcnn_jax.register, or pass the networks: "
            "load_pretrained(..., model=...)."
        )
    return REGISTERED[name]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The network of a run.

    The fields are those of ``Network``, which checks them too, without ``levels`` and ``channels``, which the data
    decides.
    """

    network: str = field("GatedPixelCNN", "class of the network", choices=NETWORKS)
    features: int = field(64, "p, feature maps of each stack; of the older networks h, half of their maps", most=2**20)
    layers: int = field(7, "number of layers after the first", least=1, most=2**12)
    kernel_size: int = field(3, "n of the n x n filters, odd", most=2**10)
    first_kernel_size: int = field(7, "n of the first layer, odd", most=2**10)
    head_features: int | None = field(None, "feature maps between the two 1x1 of the head; None for p", most=2**20)
    dropout: float = field(0.0, "fraction of features dropped in training, in steps of 1/256")
    code_features: int = field(
        0, "0 to read intensities; else the size of the embedding of a code", least=0, most=2**20
    )
    mixture: int = field(
        0, "0 for a softmax over the levels; else the number of discretised logistics", least=0, most=2**12
    )
    point_masses: bool = field(False, "add point masses at the lowest and the highest level to a mixture")
    linear_prediction: bool = field(False, "centre a mixture on a linear prediction from known neighbours")
    # float16 needs loss scaling, which the train loop has not; as the type of a trained model it is fine.
    dtype: str = field("float32", "type of the products in training", choices=("float32", "bfloat16"))
    remat: bool = field(False, "recompute each layer in the backward pass: a third more time, far less memory")


def make_network(config: ModelConfig, spec: ImageSpec) -> Any:
    """Returns the network of a config for images of a spec.

    Raises:
      InputError: if the network cannot be built.
    """
    fields, defaults = dataclasses.asdict(config), dataclasses.asdict(ModelConfig())
    network = class_named(fields.pop("network"))
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
      InputError: if it has the name of a class of this package.
    """
    if network.__name__ in MODULES:
        raise InputError(f"{network.__name__} is a class of this package: give yours a different name.")
    if {"levels", "channels"} <= {one.name for one in dataclasses.fields(network)}:
        NETWORKS[network.__name__] = network.__module__
    REGISTERED[network.__name__] = network
    return network


def describe(model: Any) -> dict[str, Any]:
    """Returns a model as JSON: its class and hyperparameters; or each model of a dict by its name.

    Args:
      model: a Linen module, a ``ConditionalModel``, or a dict of these, nested or not. Only classes of this package and
        registered classes can be rebuilt from the description. A hyperparameter that is not JSON, for example a
        function, is omitted if it is the default of its class. Otherwise it is described by name, and the model cannot
        be rebuilt.
    """
    if isinstance(model, Mapping):
        return {str(name): describe(part) for name, part in model.items()}
    kind, skipped = type(model), ("parent", "name") if isinstance(model, nn.Module) else ()
    name, module = kind.__name__, kind.__module__
    # Else a class of the same name would be built in its place.
    is_known = MODULES.get(name, module) == module and REGISTERED.get(name, kind) is kind
    described: dict[str, Any] = {"class": name if is_known else f"{module}.{name}"}
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


def build(description: Mapping[str, Any]) -> Any:
    """Builds the model that ``describe`` described.

    Raises:
      InputError: for a class that is neither of this package nor registered.
    """
    if "class" not in description:
        return {name: build(part) for name, part in description.items()}
    fields = {name: _from_json(x) for name, x in description.items() if name != "class"}
    return class_named(description["class"])(**fields)


def _from_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return build(value) if "class" in value else {key: _from_json(one) for key, one in value.items()}
    return tuple(map(_from_json, value)) if isinstance(value, list) else value
