"""Colour blocks and masks of the current pixel (1601.06759, section 3.4)."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Bool, Int

from pixelcnn_jax.models.autoregressive import Network
from pixelcnn_jax.models.parameters import Params


def colour_groups(features: int, channels: int) -> Int[np.ndarray, " features"]:
    """Assigns each feature to a channel: feature j of p to floor(j C / p)."""
    return np.arange(features) * channels // features


def colour_slice(features: int, channels: int, colour: int) -> slice:
    """Slices the features of one colour block."""
    start, stop = np.searchsorted(colour_groups(features, channels), [colour, colour + 1])
    return slice(int(start), int(stop))


def colour_slices(model: Network, colour: int) -> list[slice]:
    """Slices the features, the hidden channels of the head and its outputs of one colour."""
    widths = (model.features, model.head_width, model.channels * model.outputs)
    return [colour_slice(width, model.channels, colour) for width in widths]


def colour_block(part: Params, inputs: int, outputs: slice) -> Params:
    """Cuts a 1x1 convolution to the outputs in ``outputs`` and to its first ``inputs`` inputs."""
    return {"kernel": part["kernel"][:inputs, outputs], "bias": part["bias"][..., outputs]}


def colour_mask(
    inputs: Int[np.ndarray, " inputs"], outputs: Int[np.ndarray, " outputs"], *, first: bool = False
) -> Bool[np.ndarray, "inputs outputs"]:
    """Builds mask A (``first``: earlier blocks only) or B (also its own block).

    An input of group -1 is visible to all outputs.
    """
    return inputs[:, None] < outputs if first else inputs[:, None] <= outputs


class ColourMasks(NamedTuple):
    """Masks of the kernels that read the current pixel.

    Attributes:
      first: mask A, inputs to maps.
      down: maps to features, or to each gate of an LSTM.
      inner: features to features.
      up: features to maps.
      hidden: maps to the hidden channels of the head.
      logits: these to the outputs.
    """

    first: Bool[np.ndarray, "inputs maps"]
    down: Bool[np.ndarray, "maps features"]
    inner: Bool[np.ndarray, "features features"]
    up: Bool[np.ndarray, "features maps"]
    hidden: Bool[np.ndarray, "maps head_features"]
    logits: Bool[np.ndarray, "head_features classes"]


def input_groups(model: Network) -> Int[np.ndarray, " inputs"]:
    """Assigns colour blocks to the encoded inputs; -1 for the constant 1."""
    return np.append(-1, np.repeat(np.arange(model.channels), max(1, model.code_features)))


def colour_masks(model: Network) -> ColourMasks:
    """Builds the masks of a network."""
    widths = (model.residual_features, model.features, model.head_width, model.channels * model.outputs)
    residual, features, hidden, classes = (colour_groups(width, model.channels) for width in widths)
    return ColourMasks(
        first=colour_mask(input_groups(model), residual, first=True),
        down=colour_mask(residual, features),
        inner=colour_mask(features, features),
        up=colour_mask(features, residual),
        hidden=colour_mask(residual, hidden),
        logits=colour_mask(hidden, classes),
    )


def mask_kernel(kernel: Array, mask: Bool[np.ndarray, "..."]) -> Array:
    """Masks the last axes of a kernel [..., inputs, (pair,) outputs]."""
    return kernel * np.reshape(mask, (1,) * (kernel.ndim - mask.ndim) + mask.shape).astype(kernel.dtype)


def mask_part(part: Params, mask: Bool[np.ndarray, "..."]) -> Params:
    """Masks the kernel of ``part``."""
    return part | {"kernel": mask_kernel(part["kernel"], mask)}


def split_columns(part: Params, mask: Bool[np.ndarray, "inputs features"]) -> Params:
    """Splits a kernel [..., columns, inputs, gates, features] into left and pixel."""
    kernel = part["kernel"]
    pixel = mask_kernel(kernel[..., -1, :, :, :], mask[:, None])
    return {"left": kernel[..., :-1, :, :, :], "pixel": pixel, "bias": part["bias"]}


def masked_head(head: Params, masks: ColourMasks) -> Params:
    """Masks both kernels of the head."""
    return {"hidden": mask_part(head["hidden"], masks.hidden), "logits": mask_part(head["logits"], masks.logits)}


def mask_params(model: Network, params: Params) -> Params:
    """Masks the parameters of a Gated PixelCNN."""
    masks = colour_masks(model)

    def layer(layer: Params, mask: Bool[np.ndarray, "inputs features"]) -> Params:
        parts = {"horizontal": split_columns(layer["horizontal"], mask), "out": mask_part(layer["out"], masks.inner)}
        return layer | parts

    return params | {
        "first": layer(params["first"], masks.first),
        "layers": layer(params["layers"], masks.inner),
        "head": masked_head(params["head"], masks),
    }
