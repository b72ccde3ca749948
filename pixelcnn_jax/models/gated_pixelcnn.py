"""Gated PixelCNN (1606.05328, sections 2.2 to 2.4).

Read from top to bottom: the module and its parameters, then the network over a whole image. ``incremental.py`` advances
the same layers by a row, a pixel, a colour.
"""

import math
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
    Context,
    Dropout,
    colour_groups,
    colour_mask,
    columns_left,
    dropout,
    horizontal_half,
    shift_down,
    vertical_half,
)
from pixelcnn_jax.models.parameters import Bias, Kernel, Params


class GatedPixelCNN(Network):
    """The conditional PixelCNN of 1606.05328, with a distribution over the levels of each sub-pixel.

    Its attributes, and how it is called, are those of ``Network``. The parameters are one strict layer (``strict``, not
    counted in ``layers``), ``layers`` gated layers stacked along their first axis (``layers``), the two 1x1 of the head
    (``head``) and, for codes, their ``embedding``. h and s reach both stacks of every layer.
    """

    @nn.nowrap
    def parameter_shapes(self, condition: Condition) -> Params:
        return parameter_shapes(self, condition)

    @nn.nowrap
    def forward(
        self, params: Params, inputs: Array, condition: Condition, *, dropout_key: Array | None = None
    ) -> Array:
        return forward(self, params, inputs, condition, dropout_key=dropout_key)


def parameter_shapes(model: GatedPixelCNN, condition: Condition) -> Params:
    """The shape of every parameter; V h and V s are there where h and s are."""
    features, inputs = model.features, len(input_groups(model))

    def layer(inputs: int, rows: int, columns: int) -> Params:
        pair = (2, features)
        shapes: Params = {
            "vertical": {"kernel": Kernel((rows, columns, inputs), pair, gain=4.0), "bias": Bias(pair)},
            "crossing": {"kernel": Kernel(pair, pair)},
            "horizontal": {"kernel": Kernel((columns // 2 + 1, inputs), pair, gain=4.0), "bias": Bias(pair)},
            "out": {"kernel": Kernel((features,), (features,)), "bias": Bias((features,))},
        }
        for name, given in condition._asdict().items():
            if given is not None:
                shapes |= {f"{stack}_{name}": Kernel((given.shape[-1],), pair) for stack in ("vertical", "horizontal")}
        return shapes

    n, first = model.kernel_size, model.first_kernel_size
    return {
        "strict": layer(inputs, first // 2, first),
        "layers": layer(features, n // 2 + 1, n),
        **shared_shapes(model, features),
    }


class ColourMasks(NamedTuple):
    """What each kernel that touches the current pixel may read of it."""

    strict: Bool[np.ndarray, "inputs features"]
    layers: Bool[np.ndarray, "features features"]
    hidden: Bool[np.ndarray, "features head_features"]
    logits: Bool[np.ndarray, "head_features classes"]


def colour_masks(model: Network) -> ColourMasks:
    """Mask A for the strict layer, mask B for all others; the constant 1 belongs to no group and is always known."""
    channels = model.channels
    features, hidden = colour_groups(model.features, channels), colour_groups(model.head_width, channels)
    return ColourMasks(
        strict=colour_mask(input_groups(model), features, strict=True),
        layers=colour_mask(features, features),
        hidden=colour_mask(features, hidden),
        logits=colour_mask(hidden, colour_groups(channels * model.outputs, channels)),
    )


def masked(model: Network, params: Params) -> Params:
    """The parameters as the layers read them: cast, the kernels that touch the current pixel masked by colour.

    The last column of a horizontal kernel is the current pixel; it becomes ``pixel``, the columns before it ``left``.
    """
    params, masks = cast(model, params), colour_masks(model)

    def layer(layer: Params, pixel_mask: Bool[np.ndarray, "inputs features"]) -> Params:
        kernel = layer["horizontal"]["kernel"]  # [..., columns, inputs, pair, features], stacked or not
        return layer | {
            "horizontal": {
                "left": kernel[..., :-1, :, :, :],
                "pixel": mask_kernel(kernel[..., -1, :, :, :], pixel_mask[:, None]),
                "bias": layer["horizontal"]["bias"],
            },
            "out": layer["out"] | {"kernel": mask_kernel(layer["out"]["kernel"], masks.layers)},
        }

    return params | {
        "strict": layer(params["strict"], masks.strict),
        "layers": layer(params["layers"], masks.layers),
        "head": masked_head(params["head"], hidden=masks.hidden, logits=masks.logits),
    }


class Stacks(NamedTuple):
    """The vertical and the horizontal feature maps of Figure 2."""

    vertical: Float[Array, "batch height width vertical_features"]
    horizontal: Float[Array, "batch height width horizontal_features"]


def forward(
    model: GatedPixelCNN,
    params: Params,
    inputs: Float[Array, "batch height width inputs"],
    condition: Condition,
    *,
    dropout_key: Key[Array, ""] | None = None,
) -> Float[Array, "batch height width channels outputs"]:
    """The network over whole images, from what ``encode`` made of them; every memory is the zero border."""
    params, condition = masked(model, params), cast(model, condition)

    def gated_layer(strict: bool, stacks: Stacks, layer: Params, key: Array | None) -> Stacks:
        drop, drop_vertical = dropouts(key, model.dropout)
        above = vertical_half(layer, stacks.vertical, rows_border(layer, stacks.vertical), condition)
        left = jnp.concatenate([columns_border(layer, stacks.horizontal), stacks.horizontal], axis=2)[:, :, :-1]
        before = above.crossing + columns_left(layer["horizontal"]["left"], left)
        context = Context(gate=before, out=layer["out"]["bias"][None, None, None])
        out, _ = horizontal_half(layer, stacks.horizontal, context, residual=not strict, drop=drop)
        return Stacks(drop_vertical(above.out), out)

    one_layer = jax.checkpoint(gated_layer, static_argnums=0) if model.remat else gated_layer
    keys = None if dropout_key is None else jax.random.split(dropout_key, model.layers + 1)
    first, rest = (None, None) if keys is None else (keys[0], keys[1:])
    stacks = one_layer(True, Stacks(shift_down(inputs), inputs), params["strict"], first)
    layers = (params["layers"], rest)
    # Unrolled: kept apart, what the backward pass needs of each layer is neither copied into a stack nor out of it.
    stacks, _ = jax.lax.scan(
        lambda stacks, layer: (one_layer(False, stacks, *layer), None), stacks, layers, unroll=True
    )

    return whole_head(model, params["head"], stacks.horizontal)


def multiply_adds(model: GatedPixelCNN, height: int, width: int, *, h: int = 0, s: int = 0) -> int:
    """The multiply-adds of the logits of one image, from the sizes of the kernels; training takes three times as many.

    ``h`` and ``s`` are the numbers of h and of each place of s. Colour masks save none: what they zero is multiplied.
    """
    condition = Condition(jnp.zeros((1, h)) if h else None, jnp.zeros((1, 1, 1, s)) if s else None)
    total = 0
    for path, shape in jax.tree_util.tree_leaves_with_path(
        parameter_shapes(model, condition), is_leaf=lambda x: isinstance(x, Kernel | Bias)
    ):
        names = [entry.key for entry in path]
        if isinstance(shape, Kernel) and names[0] != "embedding":
            places = 1 if names[-1].endswith("_h") else height * width
            count = model.layers if names[0] == "layers" else 1
            total += math.prod(shape.inputs + shape.outputs) * places * count
    return total


def rows_border(layer: Params, x: Float[Array, "batch rows width features"]) -> Float[Array, "..."]:
    """The zeros that lie above the first row of an image, as many rows as the layer reads."""
    batch, _, width, features = x.shape
    return jnp.zeros((batch, layer["vertical"]["kernel"].shape[0] - 1, width, features), x.dtype)


def columns_border(layer: Params, x: Float[Array, "batch height columns features"]) -> Float[Array, "..."]:
    """The zeros that lie left of the first column of an image, as many columns as the layer reads."""
    batch, height, _, features = x.shape
    return jnp.zeros((batch, height, layer["horizontal"]["left"].shape[0], features), x.dtype)


def dropouts(key: Key[Array, ""] | None, rate: float) -> tuple[Dropout, Dropout]:
    """Dropout for the two stacks of a layer; none without a key."""
    if key is None:
        return (lambda x: x), (lambda x: x)
    horizontal, vertical = jax.random.split(key)
    return partial(dropout, horizontal, rate), partial(dropout, vertical, rate)
