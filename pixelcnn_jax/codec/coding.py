"""Lossless compression of images."""

from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import numpy as np
from jaxtyping import UInt

from pixelcnn_jax.codec.coder import IMAGES_PER_LANE, Coder
from pixelcnn_jax.codec.container import MAX_CODED_SUBPIXELS, MAX_ROW, Container, check_size, pack, unpack
from pixelcnn_jax.codec.integer import IntegerPixelCNN, digest_of_integers
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.checks import as_images
from pixelcnn_jax.models.conditioning.conditional_model import apply_conditioner
from pixelcnn_jax.models.inputs import ConditionLike, ImagesLike, Map, Variables, params_of
from pixelcnn_jax.models.streaming import OnRow


def compress(
    model: nn.Module,
    variables: Variables,
    images: ImagesLike,
    *,
    h: ConditionLike | None = None,
    s: Map | None = None,
    batch_size: int = 256,
    tile: int | None = None,
    verify: bool = True,
    extra: bytes = b"",
    on_row: OnRow | None = None,
) -> bytes:
    """Compresses images losslessly, to about -log2 p(x | h, s) bits each.

    Other machines can decompress the result, because an integer model computes the same probabilities everywhere. (A
    machine that does not compute products of integers in float32 exactly raises an error instead.) Images are coded in
    groups of ``batch_size``, and each group can be decompressed alone. In addition to the bits of the images, the
    result has about 80 bytes, and at least 5 bytes for each group.

    Args:
      model: An ``IntegerPixelCNN``, from ``quantise`` or a published name that ends in ``_integer``.
      variables: Its variables.
      images: Integers 0 to ``model.levels - 1``, of shape [count, height, width, channels].
      h: Class labels [count], or one-hot vectors [count, classes]; None for a model without a condition. They are not
        stored, so ``decompress`` needs them again.
      s: Maps [count, height, width, map_features]; None for a model without maps. They are not stored either.
      batch_size: Number of images in a group. Small groups cost space: for images as small as those of MNIST, groups of
        16 take about 2 % more bytes than groups of 256; for larger images the difference is negligible. A group is
        coded as one picture of at most 65,536 pixels in width, its images (or tiles) side by side, so groups of wide
        images are smaller than you ask for.
      tile: Side in pixels of the tiles in which large images are coded; None codes whole images. Each tile can be
        decompressed alone. Only some tiles are computed at a time, so little more memory is needed than for the images.
        For the least memory, also set ``batch_size=1``.
      verify: Whether to decompress the result and compare it with the images before returning, which doubles the time.
      extra: Bytes of your own, to be stored in the container; ``pixelcnn_jax.codec.container.unpack(data).extra`` reads
        them.
      on_row: Called with the index of each finished row of a group or tile, for a progress bar. Rows finish eight at a
        time, and with ``verify`` each finishes twice.

    Returns:
      The container, for ``decompress``.

    Raises:
      InputError: If the model is not an integer model, if an argument does not fit it, if there are more than 2**28
        sub-pixels or rows of more than 65,536 pixels without tiles, or if this machine does not compute float32
        products exactly.

    Example:
      >>> from sklearn.datasets import load_digits
      >>> from pixelcnn_jax import compress, decompress, load_pretrained
      >>> model, variables, _ = load_pretrained("digits_integer")
      >>> images = load_digits().images[-100:, ..., None].astype(int)
      >>> data = compress(model, variables, images)
      >>> len(data), bool((decompress(model, variables, data) == images).all())
      (1531, True)
    """
    uncoded = Uncoded(images, h, s, batch_size, b"" + extra, tile)
    return compress_sizes(model, variables, [uncoded], verify=verify, on_row=on_row)[0]


class Uncoded(NamedTuple):
    """Images of one size, to compress."""

    images: ImagesLike
    h: ConditionLike | None
    s: Map | None
    batch_size: int
    extra: bytes
    tile: int | None = None


def compress_sizes(
    model: nn.Module, variables: Variables, sizes: Sequence[Uncoded], *, verify: bool, on_row: OnRow | None
) -> list[bytes]:
    """Compresses images of several sizes, which share compiled programs."""
    network, arrays, containers, conditions = integer_network(model), [], [], []
    for images, h, s, *_ in sizes:
        arrays.append(images := np.asarray(as_images(images, channels=network.channels, levels=network.levels)))
        conditions.append(apply_conditioner(model, variables, h, s, shape=images.shape)[2])
    digest = digest_of_integers(network, params := params_of(variables))
    for images, (*_, batch_size, extra, tile) in zip(arrays, sizes, strict=True):
        columns = min(tile or images.shape[2], images.shape[2])
        check_size(images.shape, columns)
        batch_size = max(1, min(batch_size, len(images), MAX_ROW // columns))
        lanes = max(1, batch_size // IMAGES_PER_LANE["mixture" if network.mixture else "softmax"])
        containers.append(Container(digest, images.shape, network.levels, batch_size, lanes, tile or 0, extra))
    coder = Coder(network, params, containers, conditions, on_row)
    return [pack(container) for container in coder.compress(arrays, verify=verify)]


def decompress(
    model: nn.Module,
    variables: Variables,
    data: bytes,
    *,
    h: ConditionLike | None = None,
    s: Map | None = None,
    group: int | None = None,
    tile: tuple[int, int] | None = None,
    max_subpixels: int = MAX_CODED_SUBPIXELS,
    on_row: OnRow | None = None,
) -> UInt[np.ndarray, "count height width channels"]:
    """Decompresses what ``compress`` made, exactly.

    Args:
      model: The model that compressed the images.
      variables: Its variables.
      data: The container. It may come from a stranger: nothing is computed before its bytes are checked.
      h: The labels or vectors that ``compress`` was given; if ``group`` is given, only those of its images.
      s: The maps that ``compress`` was given; if ``group`` is given, only those of its images, and if ``tile`` is
        given, only the part in the tile.
      group: Index of the one group of images to decompress; None for all.
      tile: If the images were compressed in tiles, the (row, column) of the one tile to decompress of each image,
        counted in tiles from (0, 0); None for all.
      max_subpixels: Number of sub-pixels above which a container is rejected, because the memory must hold them.
      on_row: Called with the index of each finished row of a group or tile, for a progress bar. Rows finish eight at a
        time.

    Returns:
      Integers 0 to ``model.levels - 1`` of shape [count, height, width, channels]: uint8, or uint16 above 256 levels.

    Raises:
      InputError: If the bytes are damaged, or the model, the variables, h or s are not those that compressed them.

    Example:
      >>> import numpy as np
      >>> from pixelcnn_jax import compress, decompress, load_pretrained
      >>> model, variables, _ = load_pretrained("digits_integer")
      >>> data = compress(model, variables, np.zeros((3, 8, 8, 1), int), batch_size=1)
      >>> decompress(model, variables, data, group=1).shape
      (1, 8, 8, 1)
    """
    container = unpack(data)
    check_size(container.shape, container.columns, max_subpixels=max_subpixels)
    container = container.only(group, tile)
    return decompress_sizes(model, variables, [(container, h, s)], on_row=on_row)[0]


def decompress_sizes(
    model: nn.Module,
    variables: Variables,
    coded: Sequence[tuple[Container, ConditionLike | None, Map | None]],
    *,
    on_row: OnRow | None,
) -> list[UInt[np.ndarray, "..."]]:
    """Decompresses several containers with few programs."""
    network, containers = integer_network(model), [container for container, *_ in coded]
    conditions = [apply_conditioner(model, variables, h, s, shape=container.shape)[2] for container, h, s in coded]
    return Coder(network, params_of(variables), containers, conditions, on_row).decompress()


def integer_network(model: nn.Module) -> IntegerPixelCNN:
    """Returns the model, or raises InputError if it is no network of integers."""
    if not isinstance(model, IntegerPixelCNN):
        raise InputError(
            f"model must be an IntegerPixelCNN, got {type(model).__name__}: make one of a GatedPixelCNN with "
            "pixelcnn_jax.quantise(model, variables, images), or in a shell with `pixelcnn quantise`."
        )
    return model
