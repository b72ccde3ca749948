"""The PixelCNN of 1601.06759, section 3.3 and table 1: masked convolutions and ReLUs, the Gated PixelCNN's predecessor.

It has a blind spot: a cone of pixels to the right, above, that no stack of masked filters reaches (1606.05328,
figure 1). Around its layers lies ``residual_network``, which ``pixelrnn.py`` has in common with it.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from pixelcnn_jax.models.autoregressive import (
    Network,
    cast,
    input_groups,
    mask_kernel,
    masked_head,
    shared_shapes,
    whole_head,
)
from pixelcnn_jax.models.inputs import Condition
from pixelcnn_jax.models.layers import (
    Dropout,
    add_bias,
    colour_groups,
    colour_mask,
    columns_left,
    condition_terms,
    dropout,
    rows_above,
    shift_down,
)
from pixelcnn_jax.models.parameters import Bias, Kernel, Params


class PixelCNN(Network):
    """The masked ReLU PixelCNN of 1601.06759, with a distribution over the levels of each sub-pixel.

    Its attributes, and how it is called, are those of ``Network``. The parameters are the first masked convolution
    (``strict``, not counted in ``layers``), ``layers`` residual blocks stacked along their first axis (``layers``), the
    two 1x1 of the head (``head``) and, for codes, their ``embedding``. h and s are added to what the n x n convolution
    of each block reads: the paper has none here, this is our convention.
    """

    @nn.nowrap
    def parameter_shapes(self, condition: Condition) -> Params:
        return parameter_shapes(self, condition)

    @nn.nowrap
    def forward(
        self, params: Params, inputs: Array, condition: Condition, *, dropout_key: Array | None = None
    ) -> Array:
        return forward(self, params, inputs, condition, dropout_key=dropout_key)


def parameter_shapes(model: PixelCNN, condition: Condition) -> Params:
    """The shape of every parameter; V h and V s are there where h and s are."""
    features, maps = model.features, 2 * model.features
    block: Params = {
        "down": {"kernel": Kernel((maps,), (features,), gain=2.0), "bias": Bias((features,))},
        "masked": convolution_shapes(model.kernel_size, features, features, gain=2.0),
        "up": {"kernel": Kernel((features,), (maps,)), "bias": Bias((maps,))},
    }
    for name, given in condition._asdict().items():
        if given is not None:
            block[f"masked_{name}"] = Kernel((given.shape[-1],), (features,))
    return residual_shapes(model, block)


def residual_shapes(model: Network, layer: Params) -> Params:
    """The shapes of a ``residual_network`` whose layers have these."""
    maps = 2 * model.features
    return {
        "strict": convolution_shapes(model.first_kernel_size, len(input_groups(model)), maps),
        "layers": layer,
        **shared_shapes(model, maps),
    }


def convolution_shapes(n: int, inputs: int, outputs: int, *, gain: float = 1.0) -> Params:
    """The shapes of a masked n x n convolution: of its kernel only the open taps are kept, in raster order."""
    return {"kernel": Kernel((n * n // 2 + 1, inputs), (outputs,), gain=gain), "bias": Bias((outputs,))}


class ColourMasks(NamedTuple):
    """What each kernel that touches the current pixel may read of it; 2h maps pass from layer to layer, h are inside.

    Attributes:
      strict: of the first convolution, to the maps: mask A; all others are mask B.
      down: maps to features, in each gate of an LSTM alike.
      own: features to features.
      up: features to maps.
      hidden: maps to the features between the 1x1 of the head.
      logits: those to what the head gives for a sub-pixel.
    """

    strict: Bool[np.ndarray, "inputs maps"]
    down: Bool[np.ndarray, "maps features"]
    own: Bool[np.ndarray, "features features"]
    up: Bool[np.ndarray, "features maps"]
    hidden: Bool[np.ndarray, "maps head_features"]
    logits: Bool[np.ndarray, "head_features classes"]


def colour_masks(model: Network) -> ColourMasks:
    """Mask A for the first convolution, mask B for all others (1601.06759, section 3.4)."""
    widths = (2 * model.features, model.features, model.head_width, model.channels * model.outputs)
    maps, features, hidden, classes = (colour_groups(width, model.channels) for width in widths)
    return ColourMasks(
        strict=colour_mask(input_groups(model), maps, strict=True),
        down=colour_mask(maps, features),
        own=colour_mask(features, features),
        up=colour_mask(features, maps),
        hidden=colour_mask(maps, hidden),
        logits=colour_mask(hidden, classes),
    )


def forward(
    model: PixelCNN,
    params: Params,
    inputs: Float[Array, "batch height width inputs"],
    condition: Condition,
    *,
    dropout_key: Key[Array, ""] | None = None,
) -> Float[Array, "batch height width channels outputs"]:
    """The network over whole images, from what ``encode`` made of them."""
    return residual_network(model, params, inputs, condition, block, dropout_key=dropout_key)


def block(
    layer: Params,
    x: Float[Array, "batch height width maps"],
    condition: Condition,
    *,
    masks: ColourMasks,
    drop: Dropout,
) -> Float[Array, "batch height width maps"]:
    """What a residual block adds (1601.06759, figure 5, left): ReLU, 1x1, ReLU, n x n, ReLU, 1x1."""
    narrow = one_by_one(layer["down"], jax.nn.relu(x), mask=masks.down) + condition_terms(layer, "masked", condition)
    convolved = drop(masked_convolution(layer["masked"], jax.nn.relu(narrow), mask=masks.own))
    return one_by_one(layer["up"], jax.nn.relu(convolved), mask=masks.up)


Block = Callable[..., Float[Array, "batch height width maps"]]


def residual_network(
    model: Network,
    params: Params,
    inputs: Float[Array, "batch height width inputs"],
    condition: Condition,
    block: Block,
    *,
    dropout_key: Key[Array, ""] | None = None,
) -> Float[Array, "batch height width channels outputs"]:
    """The networks of 1601.06759: a convolution with mask A, layers each of which adds its ``block``, and the head."""
    params, condition, masks = cast(model, params), cast(model, condition), colour_masks(model)

    def layer(x: Array, layer_and_key: tuple[Params, Array | None]) -> tuple[Array, None]:
        layer, key = layer_and_key
        drop: Dropout = (lambda x: x) if key is None else partial(dropout, key, model.dropout)
        return x + block(layer, x, condition, masks=masks, drop=drop), None

    keys = None if dropout_key is None else jax.random.split(dropout_key, model.layers)
    x = masked_convolution(params["strict"], inputs, mask=masks.strict)
    layer = jax.checkpoint(layer) if model.remat else layer
    x, _ = jax.lax.scan(layer, x, (params["layers"], keys), unroll=True)  # as in gated_pixelcnn.py
    return whole_head(model, masked_head(params["head"], hidden=masks.hidden, logits=masks.logits), x)


def one_by_one(
    layer: Params, x: Float[Array, "batch height width inputs"], *, mask: Bool[np.ndarray, "inputs outputs"]
) -> Float[Array, "batch height width outputs"]:
    """A 1x1 convolution, masked by colour."""
    return add_bias(jnp.tensordot(x, mask_kernel(layer["kernel"], mask), axes=1), layer["bias"])


def masked_convolution(
    layer: Params, x: Float[Array, "batch height width inputs"], *, mask: Bool[np.ndarray, "inputs outputs"]
) -> Float[Array, "batch height width outputs"]:
    """The n x n convolution with its taps below and right of the centre closed, the centre masked by colour.

    Closed taps are not multiplied by zero but not there: the open ones are the rows above, the columns left, the pixel.
    """
    kernel, (batch, _, width, inputs) = layer["kernel"], x.shape
    n = math.isqrt(2 * len(kernel))  # of n x n taps the centre and those before it are open
    reach = n // 2
    above = kernel[: reach * n].reshape(reach, n, *kernel.shape[1:])
    from_above, _ = rows_above(above, shift_down(x), jnp.zeros((batch, reach - 1, width, inputs), x.dtype))
    from_left = columns_left(kernel[reach * n : -1], left_of(x, reach))
    own = jnp.tensordot(x, mask_kernel(kernel[-1], mask), axes=1)
    return add_bias(from_above + from_left + own, layer["bias"])


def left_of(x: Float[Array, "batch height width inputs"], reach: int) -> Float[Array, "batch height columns inputs"]:
    """The columns that ``columns_left`` reads over a whole image: ``reach`` of zeros, then all but the last."""
    return jnp.pad(x, ((0, 0), (0, 0), (reach, 0), (0, 0)))[:, :, :-1]
