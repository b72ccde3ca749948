"""Lossless compression of images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import flax.linen as nn
import numpy as np
from jaxtyping import UInt

from pixelcnn_jax.codec.container import MAX_CODED_SUBPIXELS, MAX_ROW, Container, check_size, pack, unpack
from pixelcnn_jax.codec.groups import IMAGES_PER_LANE, Coder, OnRow, digest_of_integers
from pixelcnn_jax.codec.integer import IntegerPixelCNN
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.conditioning.conditional import ConditionalModel, ConstantCondition, apply_conditioner
from pixelcnn_jax.models.inputs import ConditionLike, ImagesLike, Map, Variables, as_images, params_of


def compress(
    model: nn.Module,
    variables: Variables,
    images: ImagesLike,
    *,
    h: ConditionLike | None = None,
    s: Map | None = None,
    batch_size: int = 256,
    verify: bool = True,
    extra: bytes = b"",
    on_row: OnRow | None = None,
) -> bytes:
    """Compresses images to -log2 p(x | h, s) bits plus about 80 bytes.

    Args:
      model: an ``IntegerPixelCNN``, alone or in a ``ConditionalModel``.
      variables: its variables.
      images: integers 0 to ``model.levels - 1``.
      h: vectors [count, condition] or class labels [count].
      s: maps [count, height, width, map_features].
      batch_size: images per independent group; 16 cost about 2 % more than 256.
      verify: decode and compare before returning.
      extra: bytes to store in the container.
      on_row: callback per finished row of a group.

    Raises:
      InputError: for a float model, mismatched arguments, or more than 2**28 sub-pixels.
    """
    return compress_sizes(model, variables, [Uncoded(images, h, s, batch_size, extra)], verify=verify, on_row=on_row)[0]


class Uncoded(NamedTuple):
    """Images of one size, to compress."""

    images: ImagesLike
    h: ConditionLike | None
    s: Map | None
    batch_size: int
    extra: bytes


def compress_sizes(
    model: nn.Module, variables: Variables, sizes: Sequence[Uncoded], *, verify: bool, on_row: OnRow | None
) -> list[bytes]:
    """Compresses images of several sizes with few programs."""
    network, arrays, containers, conditions = integer_network(model), [], [], []
    for images, h, s, batch_size, extra in sizes:
        arrays.append(images := np.asarray(as_images(images, channels=network.channels, levels=network.levels)))
        _, weights, condition = apply_conditioner(model, variables, h, s, shape=images.shape)
        check_size(images.shape)
        batch_size = max(1, min(batch_size, len(images), MAX_ROW // images.shape[2]))
        lanes = max(1, batch_size // IMAGES_PER_LANE["mixture" if network.mixture else "softmax"])
        digest = digest_of_integers(network, params_of(weights))
        conditions.append(condition)
        containers.append(Container(digest, images.shape, network.levels, batch_size, lanes, extra))
    coder = Coder(network, params_of(weights), containers, conditions, on_row)
    return [pack(container) for container in coder.compress(arrays, verify=verify)]


def decompress(
    model: nn.Module,
    variables: Variables,
    data: bytes,
    *,
    h: ConditionLike | None = None,
    s: Map | None = None,
    group: int | None = None,
    max_subpixels: int = MAX_CODED_SUBPIXELS,
    on_row: OnRow | None = None,
) -> UInt[np.ndarray, "count height width channels"]:
    """Decompresses images exactly, to uint8, or uint16 above 256 levels.

    Args:
      model, variables, h, s: as in ``compress``.
      data: output of ``compress``, as bytes.
      group: index of the only group to decode, with h of its images.
      max_subpixels: limit on the sub-pixels declared.
      on_row: callback per finished row of a group.

    Raises:
      InputError: for damaged bytes, a path in place of bytes, or a different model, variables, h or s.
    """
    if isinstance(cast(Any, data), str | Path):
        raise InputError(f"data must be bytes, got a path: read the file with Path({str(data)!r}).read_bytes().")
    container = unpack(data)
    check_size(container.shape, most=max_subpixels)
    if group is not None:
        container = container.only(group)
    return decompress_sizes(model, variables, [(container, h, s)], on_row=on_row)[0]


def decompress_sizes(
    model: nn.Module,
    variables: Variables,
    coded: Sequence[tuple[Container, ConditionLike | None, Map | None]],
    *,
    on_row: OnRow | None,
) -> list[UInt[np.ndarray, "..."]]:
    """Decompresses several containers with few programs."""
    network, conditions = integer_network(model), []
    for container, h, s in coded:
        _, weights, condition = apply_conditioner(model, variables, h, s, shape=container.shape)
        conditions.append(condition)
    containers = [container for container, *_ in coded]
    return Coder(network, params_of(weights), containers, conditions, on_row).decompress()


def integer_network(model: nn.Module) -> IntegerPixelCNN:
    """Extracts the integer network, or raises InputError."""
    network = model.network if isinstance(model, ConditionalModel) else model
    if not isinstance(network, IntegerPixelCNN):
        raise InputError(
            f"model must be an IntegerPixelCNN, got {type(network).__name__}: make one of a GatedPixelCNN with "
            "pixelcnn_jax.quantise(model, variables, images)."
        )
    if network is not model and not isinstance(model.conditioner, ConstantCondition):
        raise InputError("model must compute its condition exactly: give h or s to the integer network itself.")
    return network
