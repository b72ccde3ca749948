"""Models by name: from a config to a network, and from any module of this package to JSON and back."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import numpy as np

from pixelcnn_jax.errors import InputError
from pixelcnn_jax.fields import field
from pixelcnn_jax.models.autoregressive import Network
from pixelcnn_jax.models.conditional import ConditionalModel, ConstantCondition
from pixelcnn_jax.models.encoders import Deconvolution, Encoder, Upsampling
from pixelcnn_jax.models.gated_pixelcnn import GatedPixelCNN
from pixelcnn_jax.models.inputs import ImageSpec
from pixelcnn_jax.models.pixelcnn import PixelCNN
from pixelcnn_jax.models.pixelrnn import DiagonalBiLSTM, RowLSTM
from pixelcnn_jax.models.set_encoder import SetEncoder
from pixelcnn_jax.models.text_encoder import TextEncoder

NETWORKS: dict[str, type[Network]] = {
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


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The network of a run.

    The fields are those of ``Network``, without ``levels`` and ``channels``, which the data decides.
    """

    network: str = field("GatedPixelCNN", "class of the network", choices=tuple(NETWORKS))
    features: int = field(
        64, "p, feature maps of each stack; of the older networks h, half of their maps", least=1, most=2**20
    )
    layers: int = field(7, "number of layers after the first", least=1, most=2**12)
    kernel_size: int = field(3, "n of the n x n filters, odd", least=3, most=2**10)
    first_kernel_size: int = field(7, "n of the first layer, odd", least=3, most=2**10)
    head_features: int | None = field(
        None, "feature maps between the two 1x1 of the head; None for p", least=1, most=2**20
    )
    dropout: float = field(0.0, "share of the features dropped in training", least=0, most=0.99)
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


def make_network(config: ModelConfig, spec: ImageSpec) -> Network:
    """Returns the network of a config for images of a spec.

    Raises:
      InputError: if the network cannot be built.
    """
    fields = dataclasses.asdict(config)
    return NETWORKS[fields.pop("network")](levels=spec.levels, channels=spec.channels, **fields)


def make_conditional(config: ModelConfig, spec: ImageSpec, *, map_features: int) -> Network | ConditionalModel:
    """Returns a model of p(x | h) for vectors h, to be initialised by ``init_conditional``.

    Args:
      config: the network.
      spec: the images.
      map_features: 0 to add V h to the biases (equation 4); else the number of feature maps of s = m(h) (equation 5).
    """
    network = make_network(config, spec)
    if not map_features:
        return network
    return ConditionalModel(network, Deconvolution((spec.height, spec.width, map_features)))


def describe(model: Any) -> dict[str, Any]:
    """Returns a model as JSON: its class and hyperparameters; or each model of a dict by its name.

    Args:
      model: a ``Network``, an ``Encoder``, ``Deconvolution`` or ``Upsampling``, a ``ConditionalModel``, or a dict of
        those, nested or not.
    """
    if isinstance(model, Mapping):
        return {name: describe(part) for name, part in model.items()}
    skipped = ("parent", "name") if isinstance(model, nn.Module) else ()
    fields = {one.name: getattr(model, one.name) for one in dataclasses.fields(model) if one.name not in skipped}
    return {"class": type(model).__name__} | {name: _as_json(name, value) for name, value in fields.items()}


def _as_json(name: str, value: Any) -> Any:
    if name == "dtype":
        return np.dtype(value).name
    if dataclasses.is_dataclass(value):
        return describe(value)
    return list(value) if isinstance(value, tuple) else value


def build(description: Mapping[str, Any]) -> Any:
    """Returns the model that ``describe`` described.

    Raises:
      InputError: if this version has no such class or hyperparameter.
    """
    if "class" not in description:
        return {name: build(part) for name, part in description.items()}
    fields = {name: _from_json(value) for name, value in description.items() if name != "class"}
    if description["class"] not in DESCRIBED:
        raise InputError(f"class must be one of {', '.join(DESCRIBED)}, got {description['class']}.")
    try:
        return DESCRIBED[description["class"]](**fields)
    except TypeError as error:
        raise InputError(f"{description['class']} cannot be built: {error}.") from None


def _from_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return build(value)
    return tuple(value) if isinstance(value, list) else value
