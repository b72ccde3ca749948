"""Colour groups and masks: which features of the current pixel a feature may read (1601.06759, section 3.4)."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Int

from pixelcnn_jax.models.autoregressive import Network
from pixelcnn_jax.models.parameters import Params


def colour_groups(features: int, channels: int) -> Int[np.ndarray, " features"]:
    """Returns the channel whose group each feature belongs to: feature j of p is in group floor(j C / p).

    Groups may differ in size. A feature of group c may depend on all earlier pixels and, after the first layer, on the
    channels before c of its own pixel.
    """
    return np.arange(features) * channels // features


def group_slice(features: int, channels: int, colour: int) -> slice:
    """Returns the features of one colour group, which are contiguous."""
    start, stop = np.searchsorted(colour_groups(features, channels), [colour, colour + 1])
    return slice(int(start), int(stop))


def colour_block(part: Params, known: int, outputs: slice) -> Params:
    """Cuts a 1x1 to some outputs, and to the features that they may read, which come first."""
    return {"kernel": part["kernel"][:known, outputs], "bias": part["bias"][..., outputs]}


def colour_mask(
    inputs: Int[np.ndarray, " inputs"], outputs: Int[np.ndarray, " outputs"], *, first: bool = False
) -> Bool[np.ndarray, "inputs outputs"]:
    """Returns which input feature of the current pixel an output feature may read, from the groups of both.

    Mask A is ``first``, earlier groups only, and belongs to the first layer. Mask B, for all other layers, adds the
    feature's own group. An input that is always known (the constant-1 channel) has group -1.
    """
    return inputs[:, None] < outputs if first else inputs[:, None] <= outputs


class ColourMasks(NamedTuple):
    """The mask of every kernel that reads the current pixel.

    *Maps* pass from layer to layer; *features* are inside a layer. A Gated PixelCNN has as many of one as of the other,
    its predecessors twice as many maps.

    Attributes:
      first: inputs to maps, in the first layer.
      down: maps to features; the same in each gate of an LSTM.
      inner: features to features.
      up: features to maps.
      hidden: maps to the features between the two 1x1 of the head.
      logits: those to the outputs.
    """

    first: Bool[np.ndarray, "inputs maps"]
    down: Bool[np.ndarray, "maps features"]
    inner: Bool[np.ndarray, "features features"]
    up: Bool[np.ndarray, "features maps"]
    hidden: Bool[np.ndarray, "maps head_features"]
    logits: Bool[np.ndarray, "head_features classes"]


def input_groups(model: Network) -> Int[np.ndarray, " inputs"]:
    """Returns the colour group of each feature that ``encode`` makes; the constant 1 has group -1, always known."""
    return np.append(-1, np.repeat(np.arange(model.channels), max(1, model.code_features)))


def colour_masks(model: Network) -> ColourMasks:
    """Returns the masks of a network."""
    widths = (model.maps, model.features, model.head_width, model.channels * model.outputs)
    maps, features, hidden, classes = (colour_groups(width, model.channels) for width in widths)
    return ColourMasks(
        first=colour_mask(input_groups(model), maps, first=True),
        down=colour_mask(maps, features),
        inner=colour_mask(features, features),
        up=colour_mask(features, maps),
        hidden=colour_mask(maps, hidden),
        logits=colour_mask(hidden, classes),
    )


def mask_kernel(kernel: Array, mask: Bool[np.ndarray, "..."]) -> Array:
    """Returns a kernel [..., inputs, (pair,) outputs] with zeros where a mask over its last axes is false."""
    return kernel * np.reshape(mask, (1,) * (kernel.ndim - mask.ndim) + mask.shape).astype(kernel.dtype)


def mask_part(part: Params, mask: Bool[np.ndarray, "..."]) -> Params:
    """Returns the parameters of a part of a layer, its kernel masked."""
    return part | {"kernel": mask_kernel(part["kernel"], mask)}


def split_columns(part: Params, mask: Bool[np.ndarray, "inputs features"]) -> Params:
    """Splits a kernel [..., columns, inputs, gates, features] by what it reads: the columns to the left, or the pixel.

    The last column reads the current pixel and is masked, alike in all gates.
    """
    kernel = part["kernel"]
    pixel = mask_kernel(kernel[..., -1, :, :, :], mask[:, None])
    return {"left": kernel[..., :-1, :, :, :], "pixel": pixel, "bias": part["bias"]}


def masked_head(head: Params, masks: ColourMasks) -> Params:
    """Returns the parameters of the head with both kernels masked."""
    return {"hidden": mask_part(head["hidden"], masks.hidden), "logits": mask_part(head["logits"], masks.logits)}


def masked(model: Network, params: Params) -> Params:
    """Returns the parameters of a Gated PixelCNN, masked by colour where they read the current pixel."""
    masks = colour_masks(model)

    def layer(layer: Params, mask: Bool[np.ndarray, "inputs features"]) -> Params:
        parts = {"horizontal": split_columns(layer["horizontal"], mask), "out": mask_part(layer["out"], masks.inner)}
        return layer | parts

    return params | {
        "first": layer(params["first"], masks.first),
        "layers": layer(params["layers"], masks.inner),
        "head": masked_head(params["head"], masks),
    }
