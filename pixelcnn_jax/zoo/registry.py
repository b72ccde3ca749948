"""Models by name: from configs, and to JSON and back."""

import dataclasses
import importlib
import re
from collections.abc import Mapping
from typing import Any, TypeVar

import flax.linen as nn
import numpy as np

from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.foundation.fields import field
from pixelcnn_jax.models.inputs import ImageSpec

NETWORKS = {  # classes in configs, and their modules
    "GatedPixelCNN": "pixelcnn_jax.models.gated_pixelcnn",
    "PixelCNN": "pixelcnn_jax.models.predecessors.pixelcnn",
    "RowLSTM": "pixelcnn_jax.models.predecessors.pixelrnn",
    "DiagonalBiLSTM": "pixelcnn_jax.models.predecessors.pixelrnn",
}
MODULES = NETWORKS | {  # classes in cards
    "ConditionalModel": "pixelcnn_jax.models.conditioning.conditional_model",
    "ConstantCondition": "pixelcnn_jax.models.conditioning.conditional_model",
    "Deconvolution": "pixelcnn_jax.models.conditioning.encoders",
    "Encoder": "pixelcnn_jax.models.conditioning.encoders",
    "IntegerPixelCNN": "pixelcnn_jax.codec.integer",
    "SetEncoder": "pixelcnn_jax.models.conditioning.set_encoder",
    "TextEncoder": "pixelcnn_jax.models.conditioning.text_encoder",
    "Tokenizer": "pixelcnn_jax.models.tokenizer",
    "Upsampling": "pixelcnn_jax.models.conditioning.encoders",
}
REGISTERED: dict[str, type] = {}  # users' classes
Class = TypeVar("Class", bound=type)


def class_named(name: str) -> Any:
    """Loads a class of this package, or a registered one."""
    if name in MODULES:
        return getattr(importlib.import_module(MODULES[name]), name)
    if name not in REGISTERED:
        raise InputError(
            f"class {name!s:.50} is unknown: @pixelcnn_jax.register it, or call load_pretrained(..., model=...)."
        )
    return REGISTERED[name]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The network of a run: the name of its class, and its attributes as ``GatedPixelCNN`` explains them.

    Levels and channels come from the data.
    """

    network: str = field("GatedPixelCNN", "class of the network", choices=NETWORKS)
    features: int = field(64, "hidden channels per stack, p in the paper (and h in 1601.06759)", max=2**20)
    layers: int = field(7, "number of layers after the first", min=1, max=2**12)
    kernel_size: int = field(3, "filter size n, odd", max=2**10)
    first_kernel_size: int = field(7, "filter size of the first layer, odd", max=2**10)
    head_features: int | None = field(None, "hidden channels of the head; None for `features`", max=2**20)
    dropout: float = field(0.0, "dropout rate; above 0, rounded to a positive multiple of 1/256")
    code_features: int = field(0, "embedding size of codes; 0 reads intensities", min=0, max=2**20)
    mixture: int = field(0, "number of discretised logistics; 0 for a softmax", min=0, max=2**12)
    point_masses: bool = field(False, "add point masses at both end levels to a mixture")
    linear_prediction: bool = field(False, "centre a mixture on a linear prediction from neighbours")
    attention: int = field(0, "number of layers between two attentions; 0 for none", min=0)
    # No float16: it would need loss scaling.
    dtype: str = field("float32", "matmul dtype in training", choices=("float32", "bfloat16"))
    remat: bool = field(False, "recompute layers in the backward pass (rematerialisation)")


def make_network(config: ModelConfig, spec: ImageSpec) -> Any:
    """Builds the network of a config.

    Raises:
      InputError: the class lacks a field, or a value is invalid.
    """
    fields, defaults = dataclasses.asdict(config), dataclasses.asdict(ModelConfig())
    kind = class_named(fields.pop("network"))
    for name in fields.keys() - {attribute.name for attribute in dataclasses.fields(kind)}:
        if fields.pop(name) != defaults[name]:
            raise InputError(f"{name} must stay {defaults[name]}: {kind.__name__} has no such field.")
    return kind(levels=spec.levels, channels=spec.channels, **fields)


def register(network: Class) -> Class:
    """A decorator that registers a class of your own, so that ``load_pretrained`` finds it by its name.

    Args:
      network: A Linen module whose fields are plain values. One with the fields ``levels`` and ``channels`` can also be
        the ``config.model.network`` of the train command.

    Returns:
      The class.

    Raises:
      InputError: If a class of this package has the same name.

    Example:
      >>> from pixelcnn_jax import GatedPixelCNN, register
      >>> @register
      ... class DeepPixelCNN(GatedPixelCNN):
      ...     layers: int = 20
      ...     stream = GatedPixelCNN.stream  # it computes the same, so that it can be sampled with the same cache
      >>> DeepPixelCNN(levels=4).layers
      20
    """
    if network.__name__ in MODULES:
        raise InputError(f"{network.__name__} is a class of this package: give yours a different name.")
    if {"levels", "channels"} <= {attribute.name for attribute in dataclasses.fields(network)}:
        NETWORKS[network.__name__] = network.__module__
    REGISTERED[network.__name__] = network
    return network


def describe(model: Any, *, defaults: bool = True) -> dict[str, Any]:
    """Describes a model, or a dict of models, as JSON: class and hyperparameters.

    A hyperparameter that cannot be written as JSON is omitted. The model can then be rebuilt only if this
    hyperparameter has its default.

    Args:
      model: the model.
      defaults: whether to list hyperparameters that have their default value. Without them, the description stays the
        same when a later version adds one.
    """
    if isinstance(model, Mapping):
        return {str(name): describe(part, defaults=defaults) for name, part in model.items()}
    kind, skipped = type(model), ("parent", "name") if isinstance(model, nn.Module) else ()
    name, module = kind.__name__, kind.__module__
    # Otherwise a class of the same name would be built instead.
    is_known = MODULES.get(name, module) == module and REGISTERED.get(name, kind) is kind
    described: dict[str, Any] = {"class": name if is_known else f"{module}.{name}"}
    for attribute in dataclasses.fields(model):
        if attribute.init and attribute.name not in skipped:
            value = getattr(model, attribute.name)
            text = _as_json(value, attribute.name, defaults=defaults)
            is_object = isinstance(text, dict)  # a default object, such as an activation function, comes with the class
            is_default = value is attribute.default or (not is_object and value == attribute.default)
            if not is_default or (defaults and not is_object):
                described[attribute.name] = text
    return described


def _as_json(value: Any, name: str = "", *, defaults: bool) -> Any:
    if name.endswith("dtype") and value is not None:
        return np.dtype(value).name
    if isinstance(value, Mapping):
        return {str(key): _as_json(x, defaults=defaults) for key, x in value.items()}
    if isinstance(value, tuple | list):
        return [_as_json(x, defaults=defaults) for x in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and np.isfinite(value)):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return describe(value, defaults=defaults)
    name = getattr(getattr(value, "func", value), "__qualname__", "")  # of a partial, that of its function
    return {"class": name if hasattr(value, "__qualname__") else name + re.sub(r" at 0x\w+", "", repr(value))}


def build(description: Mapping[str, Any]) -> Any:
    """Builds the model that ``describe`` described.

    Raises:
      InputError: the class is unknown.
    """
    if "class" not in description:
        return {name: build(part) for name, part in description.items()}
    fields = {name: _from_json(x) for name, x in description.items() if name != "class"}
    return class_named(description["class"])(**fields)


def _from_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return build(value) if "class" in value else {key: _from_json(x) for key, x in value.items()}
    return tuple(map(_from_json, value)) if isinstance(value, list) else value
