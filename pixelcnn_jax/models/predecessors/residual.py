"""The common part of the networks of 1601.06759: a masked convolution, layers that each add a block, and the head.

``pixelcnn.py`` and ``pixelrnn.py`` define the blocks. ``residual_stream.py`` advances those of PixelCNN and Row LSTM by
a row, a pixel, a colour.
"""

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
from pixelcnn_jax.models.layers import Dropout, add_bias, dropout, rows_left, taps_above
from pixelcnn_jax.models.parameters import Params, affine
from pixelcnn_jax.models.products import product


class ResidualNetwork(Network):
    """A network of 1601.06759; a subclass defines the three methods of a layer.

    Its attributes and its call are those of ``pixelcnn_jax.models.autoregressive.Network``. The parameters are the
    first masked convolution (``first``, not counted in ``layers``), ``layers`` residual layers stacked along their
    first axis (``layers``), the two 1x1 of the head (``head``) and, for codes, their ``embedding``.
    """

    @nn.nowrap
    def layer_shapes(self, condition: Condition) -> Params:
        """Returns the shape of every parameter of a layer."""
        raise NotImplementedError

    @nn.nowrap
    def masked_layer(self, layer: Params, masks: ColourMasks) -> Params:
        """Returns the parameters of the layers as ``block`` reads them."""
        raise NotImplementedError

    @nn.nowrap
    def block(
        self, layer: Params, x: Float[Array, "batch height width maps"], condition: Condition, drop: Dropout
    ) -> Float[Array, "batch height width maps"]:
        """Returns what a layer adds to its input."""
        raise NotImplementedError

    @nn.nowrap
    def mask(self, params: Params) -> Params:
        """Masks the parameters by colour where they read the current pixel, as the layers read them."""
        masks = colour_masks(self)
        return params | {
            "first": split_taps(params["first"], masks.first),
            "layers": self.masked_layer(params["layers"], masks),
            "head": masked_head(params["head"], masks),
        }

    @property
    def maps(self) -> int:
        """Feature maps that pass from layer to layer."""
        return 2 * self.features

    @nn.nowrap
    def parameter_shapes(self, condition: Condition) -> Params:
        return {
            "first": convolution_shapes(self.first_kernel_size, self.inputs, self.maps),
            "layers": self.layer_shapes(condition),
            **shared_shapes(self),
        }

    @nn.nowrap
    def forward(
        self, params: Params, inputs: Array, condition: Condition, *, dropout_key: Array | None = None
    ) -> Array:
        params = self.mask(params)

        def layer(x: Array, layer_and_key: tuple[Params, Array | None]) -> tuple[Array, None]:
            layer, key = layer_and_key
            drop: Dropout = (lambda x: x) if key is None else partial(dropout, key, self.dropout)
            return x + self.block(layer, x, condition, drop), None

        keys = None if dropout_key is None else jax.random.split(dropout_key, self.layers)
        x = masked_convolution(params["first"], inputs)
        layer = jax.checkpoint(layer) if self.remat else layer
        x, _ = jax.lax.scan(layer, x, (params["layers"], keys), unroll=True)  # as in gated_pixelcnn.py
        return whole_head(self, params["head"], x)


def convolution_shapes(n: int, inputs: int, outputs: int, *, gain: float = 1.0) -> Params:
    """Returns the shapes of a masked n x n convolution. Its kernel has only the open taps, in raster order."""
    return affine((n * n // 2 + 1, inputs), (outputs,), gain=gain)


def split_taps(layer: Params, mask: Bool[np.ndarray, "inputs outputs"]) -> Params:
    """Splits the kernel of a masked convolution, stacked or not, by the taps above, left, and at the pixel (masked)."""
    kernel = layer["kernel"]  # [..., taps, inputs, outputs]
    n = math.isqrt(2 * kernel.shape[-3])  # the centre of n x n taps and those before it are open
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
    """Returns a masked convolution, given the share of the taps before the centre."""
    return add_bias(taps + product(x, layer["pixel"]), layer["bias"])


def masked_convolution(
    layer: Params, x: Float[Array, "batch height width inputs"]
) -> Float[Array, "batch height width outputs"]:
    """Returns the masked n x n convolution of a whole image, its centre masked by colour.

    Taps below and right of the centre are not multiplied by zero: they do not exist.
    """
    rows = jnp.pad(x, ((0, 0), (layer["above"].shape[0], 0), (0, 0), (0, 0)))[:, :-1]
    return convolve(layer, x, taps_above(layer["above"], rows) + rows_left(layer["left"], x))
