"""Base class of the networks of 1601.06759, and masked convolutions."""

import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from pixelcnn_jax.models.autoregressive import Network, shared_shapes, whole_head
from pixelcnn_jax.models.colours import ColourMasks, colour_masks, mask_kernel, masked_head
from pixelcnn_jax.models.inputs import Condition
from pixelcnn_jax.models.layers import Dropout, Features, add_bias, dropout, horizontal_conv, vertical_conv_valid
from pixelcnn_jax.models.parameters import Params, affine, stack
from pixelcnn_jax.models.products import product


class ResidualNetwork(Network):
    """Base class of the networks of 1601.06759; attributes and call of ``Network``."""

    @nn.nowrap
    def layer_shapes(self, condition: Condition) -> Params:
        """Declares the parameters of a layer."""
        raise NotImplementedError

    @nn.nowrap
    def masked_layer(self, layer: Params, masks: ColourMasks) -> Params:
        """Masks the parameters of the layers."""
        raise NotImplementedError

    @nn.nowrap
    def block(self, layer: Params, x: Features, condition: Condition, drop: Dropout) -> Features:
        """Computes the residual of a layer."""
        raise NotImplementedError

    @nn.nowrap
    def mask(self, params: Params) -> Params:
        """Masks all parameters."""
        masks = colour_masks(self)
        return params | {
            "first": split_taps(params["first"], masks.first),
            "layers": self.masked_layer(params["layers"], masks),
            "head": masked_head(params["head"], masks),
        }

    @property
    def residual_features(self) -> int:
        return 2 * self.features

    @nn.nowrap
    def parameter_shapes(self, condition: Condition) -> Params:
        return {
            "first": convolution_shapes(self.first_kernel_size, self.inputs, self.residual_features),
            "layers": stack(self.layer_shapes(condition), self.layers),
            **shared_shapes(self),
        }

    @nn.nowrap
    def forward(self, params: Params, inputs: Array, condition: Condition, *, key: Array | None = None) -> Array:
        params = self.mask(params)

        def layer(x: Array, layer_and_key: tuple[Params, Array | None]) -> tuple[Array, None]:
            layer, key = layer_and_key
            return x + self.block(layer, x, condition, partial(dropout, key, self.dropout)), None

        keys = None if key is None else jax.random.split(key, self.layers)
        x = masked_convolution(params["first"], inputs)
        layer = jax.checkpoint(layer) if self.remat else layer
        x, _ = jax.lax.scan(layer, x, (params["layers"], keys), unroll=True)  # on every device
        return whole_head(self, params["head"], x)


def convolution_shapes(n: int, inputs: int, outputs: int, *, gain: float = 1.0) -> Params:
    """Declares a masked n x n convolution, whose kernel has only the open taps."""
    return affine((n * n // 2 + 1, inputs), (outputs,), gain=gain)


def split_taps(layer: Params, mask: Bool[np.ndarray, "inputs outputs"]) -> Params:
    """Splits a masked kernel into the taps above, left, and at the pixel."""
    kernel = layer["kernel"]  # [..., taps, inputs, outputs]
    n = math.isqrt(2 * kernel.shape[-3])  # the open taps of n x n, up to the centre
    above = kernel[..., : n // 2 * n, :, :]
    return {
        "above": above.reshape(*kernel.shape[:-3], n // 2, n, *kernel.shape[-2:]),
        "left": kernel[..., n // 2 * n : -1, :, :],
        "pixel": mask_kernel(kernel[..., -1, :, :], mask),
        "bias": layer["bias"],
    }


def convolve(
    layer: Params, x: Float[Array, "batch height width inputs"], taps: Float[Array, "batch height width *outputs"]
) -> Float[Array, "batch height width *outputs"]:
    """Adds the masked centre and the bias to ``taps``."""
    return add_bias(taps + product(x, layer["pixel"]), layer["bias"])


def masked_convolution(layer: Params, x: Features) -> Features:
    """Applies a masked n x n convolution to whole images."""
    rows = jnp.pad(x, ((0, 0), (layer["above"].shape[0], 0), (0, 0), (0, 0)))[:, :-1]
    return convolve(layer, x, vertical_conv_valid(layer["above"], rows) + horizontal_conv(layer["left"], x))
