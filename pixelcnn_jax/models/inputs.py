"""The inputs of a model: types of images, conditions and variables, and the format of images."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import flax
import flax.linen as nn
import jax
import numpy as np
from jaxtyping import Array, Float, Int, Integer, Key, Real, Shaped, UInt32

from pixelcnn_jax.foundation.fields import field
from pixelcnn_jax.models.parameters import Params

HeadOutputs = Float[Array, "batch height width channels outputs"]
Logits = Float[Array, "batch levels"]  # of one sub-pixel
LogProbs = Float[Array, "batch height width channels"]  # of every sub-pixel, in nats
Images = Integer[Array | np.ndarray, "batch height width channels"]
ImagesLike = Shaped[Array | np.ndarray, "batch height width *channels"]  # integers or bool
RandomKeys = Key[Array, "..."] | UInt32[Array, "*batch words"]  # typed, or from PRNGKey
Vector = Shaped[Array | np.ndarray, "batch condition"]  # of numbers or bool, computed with as floats
Map = Real[Array | np.ndarray, "batch height width map_features"]
SmallImages = Integer[Array | np.ndarray, "batch small_height small_width small_channels"]
Labels = Shaped[Array | np.ndarray, " batch"]  # integers or bool
# A set of images for each image of a batch; shorter sets are padded with ABSENT.
Examples = Integer[Array | np.ndarray, "batch examples example_height example_width example_channels"]
ABSENT = -1
MAX_CLASSES = 2**16
Tokens = Integer[Array | np.ndarray, "batch words"]
ConditionLike = Vector | Labels | SmallImages | Examples | Tokens  # types of h
Variables = Mapping[str, Any]  # from model.init
PixelValues = Int[Array, "batch 1 1 channels"]  # of a stream, which may draw only some of the channels yet
RowValues = Int[Array, "batch 1 width channels"]
Index = Int[Array, ""] | int


@dataclasses.dataclass(frozen=True)
class ImageSpec:
    """Image format of a data set or model.

    Attributes:
      height: Number of rows.
      width: Number of columns.
      channels: Number of channels of a pixel.
      levels: Number of intensity levels of a sub-pixel, 2 to 65,536.
      classes: Number of classes; None without class labels.
      words: The vocabulary of captions; None without captions.
      class_names: The names of the classes; None if they are only numbered.
    """

    height: int = field(dataclasses.MISSING, "rows", min=1)
    width: int = field(dataclasses.MISSING, "columns", min=1)
    channels: int = field(dataclasses.MISSING, "channels", min=1)
    levels: int = field(dataclasses.MISSING, "number of intensity levels", min=2, max=2**16)
    classes: int | None = field(None, "number of class labels", min=1, max=MAX_CLASSES)
    words: tuple[str, ...] | None = field(None, "vocabulary of captions")
    class_names: tuple[str, ...] | None = field(None, "names of the classes")

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.height, self.width, self.channels


class Condition(NamedTuple):
    """Inputs besides the image: vector h (equation 4) and map s (equation 5)."""

    h: Vector | None = None
    s: Map | None = None

    def given(self) -> dict[str, Any]:
        """The parts by name, if given."""
        return {name: value for name, value in self._asdict().items() if value is not None}


def params_of(variables: Variables) -> Params:
    """Extracts the parameters as a plain dict."""
    return flax.core.unfreeze(variables.get("params", {}))


@jax.jit(static_argnames=("network", "method"))
def apply_jitted(network: nn.Module, variables: Variables, x: Any, method: str | None = None) -> Any:
    """Applies a network, compiled once for each shape of x."""
    return network.apply(variables, x, method=method)
