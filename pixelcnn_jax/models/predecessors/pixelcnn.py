"""PixelCNN of 1601.06759 (section 3.3, table 1), which has a blind spot."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pixelcnn_jax.models.autoregressive import condition_shapes
from pixelcnn_jax.models.colours import ColourMasks, mask_part
from pixelcnn_jax.models.inputs import Condition
from pixelcnn_jax.models.layers import Dropout, condition_terms, one_by_one, vertical_conv_valid
from pixelcnn_jax.models.parameters import Params, affine
from pixelcnn_jax.models.predecessors.residual import (
    ResidualNetwork,
    convolution_shapes,
    convolve,
    masked_convolution,
    split_taps,
)
from pixelcnn_jax.models.predecessors.residual_stream import ResidualStream


class PixelCNN(ResidualNetwork):
    """Masked ReLU PixelCNN (1601.06759); attributes and call of ``Network``.

    h and s are added to the inputs of each n x n convolution: our convention, the paper has neither.
    """

    @nn.nowrap
    def layer_shapes(self, condition: Condition) -> Params:
        features, residual = self.features, self.residual_features
        return {
            "down": affine((residual,), (features,), gain=2.0),
            "masked": convolution_shapes(self.kernel_size, features, features, gain=2.0),
            "up": affine((features,), (residual,)),
            **condition_shapes(condition, (features,), "masked"),
        }

    @nn.nowrap
    def masked_layer(self, layer: Params, masks: ColourMasks) -> Params:
        return layer | {
            "down": mask_part(layer["down"], masks.down),
            "masked": split_taps(layer["masked"], masks.inner),
            "up": mask_part(layer["up"], masks.up),
        }

    @nn.nowrap
    def block(self, layer: Params, x: Array, condition: Condition, drop: Dropout) -> Array:
        """ReLU, 1x1, ReLU, n x n, ReLU, 1x1 (1601.06759, figure 5, left)."""
        read = before_convolution(layer, x, condition_terms(layer, "masked", condition))
        return one_by_one(layer["up"], jax.nn.relu(drop(masked_convolution(layer["masked"], read))))

    @nn.nowrap
    def stream(self) -> Any:
        return PixelCNNStream(self)


def before_convolution(
    layer: Params, x: Float[Array, "batch height width maps"], terms: Float[Array, "..."] | float
) -> Float[Array, "batch height width features"]:
    """Computes the inputs of the n x n convolution; ``terms`` are V h + V s."""
    return jax.nn.relu(one_by_one(layer["down"], jax.nn.relu(x)) + terms)


class PixelCNNStream(ResidualStream):
    """The ``Stream`` of a PixelCNN, which caches rows."""

    def taps_left(self, layer: Params) -> Array:
        return layer["masked"]["left"]

    def border(self, layer: Params, batch: int, width: int) -> Array:
        reach, _, inputs, _ = layer["masked"]["above"].shape
        return jnp.zeros((batch, reach, width, inputs), self.model.dtype)

    def context_from_above(self, layer: Params, memory: Array, condition: Condition) -> tuple[Array, Array]:
        taps = vertical_conv_valid(layer["masked"]["above"], memory)
        return taps, jnp.zeros_like(taps) + condition_terms(layer, "masked", condition)

    def read(self, layer: Params, x: Array, above: tuple[Array, Array]) -> Array:
        return before_convolution(layer, x, above[1])

    def block(self, layer: Params, read: Array, above: tuple[Array, Array], left: Array) -> tuple[Array, Array]:
        convolved = convolve(layer["masked"], read, above[0] + left)
        return one_by_one(layer["up"], jax.nn.relu(convolved)), read

    def remember(self, memory: Array, new: Array) -> Array:
        return jnp.concatenate([memory, new], axis=1)[:, 1:]
