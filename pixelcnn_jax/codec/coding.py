"""Lossless compression of images: with integer networks by ``groups.py``, with all others by constriction's coder.

For those, ``probabilities.tables`` computes the probability of each sub-pixel from the values of the images, or from
those decoded so far. The header holds what could change a bit of the probabilities; a digest of the pixels detects the
rest, such as a processor that rounds in another order.
"""

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from jaxtyping import UInt

from pixelcnn_jax.codec import groups
from pixelcnn_jax.codec.container import MAX_ROW, MAX_SUBPIXELS, Container, check_size, digest, filled, pack, unpack
from pixelcnn_jax.codec.facts import check_facts, facts_of
from pixelcnn_jax.codec.groups import OnRow
from pixelcnn_jax.codec.probabilities import Table, Values, tables
from pixelcnn_jax.errors import InputError
from pixelcnn_jax.models.arguments import public
from pixelcnn_jax.models.conditional import ConditionalModel, resolve
from pixelcnn_jax.models.inputs import Condition, Given, Images, Map, Variables, check_images, check_values
from pixelcnn_jax.models.integer import IntegerPixelCNN
from pixelcnn_jax.models.streaming import stream_of

READ_AHEAD = 3  # words; a decoder reads at most two after the last
MAX_LOGITS = 2**28  # of a model without a stream, which computes those of whole images

Index = tuple[slice, int, int, int]  # images, row, column, colour


@public
def compress(
    model: nn.Module | ConditionalModel,
    variables: Variables,
    images: Images,
    *,
    h: Given | None = None,
    s: Map | None = None,
    batch_size: int = 256,
    verify: bool = True,
    extra: bytes = b"",
    on_row: OnRow | None = None,
) -> bytes:
    """Returns images as about as many bytes as their likelihood implies: -log2 p(x | h, s) bits, plus about 120 bytes.

    Args:
      model: a model of this package, or any module that maps images to logits, which is run again for every sub-pixel.
      variables: its variables; the decoder needs the same.
      images: integers 0 to ``model.levels - 1``.
      h: vectors [count, condition] or class labels [count], for a model made with one; the decoder needs the same.
      s: maps [count, height, width, map_features], for a model made with one; the decoder needs the same.
      batch_size: images coded together, at most all of them. It is stored in the container. For an ``IntegerPixelCNN``
        these are a group, which can be decoded by itself: a group of 16 takes about 2 % more than one of 256.
      verify: decode the result and compare before returning it.
      extra: bytes to keep in the container, such as file names.
      on_row: called with the index of each finished row of a batch, in coding and in verifying, for a progress bar.

    Raises:
      InputError: for what does not fit the model or the bounds of the format (2**28 sub-pixels), and if constriction is
        not installed.
    """
    check_images(images, channels=model.channels, levels=model.levels)
    images = np.asarray(images)
    check_values(images, model.levels)
    if not 2 <= model.levels <= 2**16:
        raise InputError(f"levels must be between 2 and {2**16} to compress, got {model.levels}.")
    network, own, condition = resolve(model, variables, h, s, shape=images.shape)
    count, _, width, _ = images.shape
    batch_size = min(batch_size, count, max(1, MAX_ROW // max(1, width)))
    check_size(images.shape, batch_size)
    container: Container | groups.GroupContainer
    if isinstance(network, IntegerPixelCNN):
        container = groups.compress(network, own, images, condition, group_size=batch_size, extra=extra, on_row=on_row)
    else:
        words = _encode(network, own, images, condition, batch_size, on_row)
        container = Container(
            **facts_of(network, own, condition),
            pixels=_digest_pixels(images),
            shape=images.shape,
            levels=model.levels,
            batch_size=batch_size,
            extra=extra,
            words=filled(words, images.size),
        )
    data = pack(container)
    if verify:  # raises if a state of the coder does not end where it began, or the digest of the pixels differs
        decompress(model, variables, data, h=h, s=s, on_row=on_row)
    return data


@public
def decompress(
    model: nn.Module | ConditionalModel,
    variables: Variables,
    data: bytes,
    *,
    h: Given | None = None,
    s: Map | None = None,
    group: int | None = None,
    max_subpixels: int = MAX_SUBPIXELS,
    on_row: OnRow | None = None,
) -> UInt[np.ndarray, "count height width channels"]:
    """Returns the images that were compressed, exactly, as uint8, or uint16 for more than 256 levels.

    Args:
      model, variables, h, s: what ``compress`` was given.
      data: what ``compress`` returned.
      group: index of the only group to decode, of an ``IntegerPixelCNN``; h is then that of its images.
      max_subpixels: limit on the sub-pixels of all images, checked before anything is computed.
      on_row: called with the index of each finished row of a batch.

    Raises:
      InputError: for damaged bytes, for another model, variables, h, s, version of jax or platform, and if the decoded
        images differ from those compressed; they are never returned.
    """
    container = unpack(data)
    check_size(container.shape, container.batch_size, most=max_subpixels)
    if isinstance(container, groups.GroupContainer) and group is not None:
        container = container.only(group)
    elif group is not None:
        raise InputError("group must be left out: these images were not compressed with an IntegerPixelCNN.")
    model, variables, condition = resolve(model, variables, h, s, shape=container.shape)
    if isinstance(container, groups.GroupContainer):
        if not isinstance(model, IntegerPixelCNN):
            raise InputError("data was compressed with another model, an IntegerPixelCNN: decompress with the same.")
        return groups.decompress(model, variables, container, condition, on_row=on_row)
    check_facts(container, facts_of(model, variables, condition))
    if (container.shape[-1], container.levels) != (model.channels, model.levels):
        raise InputError("data is damaged: it does not have the channels and levels of this model.")
    coder, family = _constriction()
    words = np.frombuffer(container.words, "<u4").astype(np.uint32)
    decoder = coder.RangeDecoder(np.append(words, np.zeros(READ_AHEAD, np.uint32)))
    images = np.zeros(container.shape, np.uint8 if container.levels <= 256 else np.uint16)

    def decode(table: Table, index: Index) -> Values:
        try:
            values = decoder.decode(family, table)
        except (AssertionError, ValueError) as error:
            raise InputError(_MISMATCH) from error
        if decoder.maybe_exhausted():
            raise InputError(_MISMATCH)
        images[index] = values
        return values

    _code(model, variables, container.shape, condition, container.batch_size, decode, on_row)
    if _digest_pixels(images) != container.pixels:
        raise InputError(_MISMATCH)
    return images


def _encode(
    model: nn.Module, variables: Variables, images: Images, condition: Condition, batch_size: int, on_row: OnRow | None
) -> bytes:
    coder, family = _constriction()
    encoder = coder.RangeEncoder()

    def encode(table: Table, index: Index) -> Values:
        values = np.asarray(images[index], np.int32)
        encoder.encode(values, family, table)
        return values

    _code(model, variables, images.shape, condition, batch_size, encode, on_row)
    return bytes(encoder.get_compressed().astype("<u4").tobytes())


_MISMATCH = (
    "The decoded pixels differ from those compressed: this machine computes other probabilities with the same "
    "software. Decompress on the kind of machine that compressed."
)


def _code(
    model: nn.Module,
    variables: Variables,
    shape: tuple[int, ...],
    condition: Condition,
    batch_size: int,
    code: Callable[[Table, Index], Values],
    on_row: OnRow | None,
) -> None:
    """Passes the probabilities of every sub-pixel to ``code``, and the values it returns to the model.

    Raises:
      InputError: if a model without a stream would compute too many logits at once.
    """
    count, height, width, channels = shape
    logits = batch_size * math.prod(shape[1:]) * model.levels * max(1, getattr(model, "mixture", 0))
    if stream_of(model) is None and logits > MAX_LOGITS:
        raise InputError(f"batch_size must be lower: {logits} logits at once are more than {MAX_LOGITS}.")
    for start in range(0, count, batch_size):
        size = min(batch_size, count - start)
        # A smaller last batch would round differently, so it is filled up with zero images.
        rows = start + np.minimum(np.arange(batch_size), size - 1)
        here = jax.tree.map(lambda x, rows=rows: x[rows], condition)
        steps = tables(model, variables, (batch_size, height, width), here)
        values: Values | None = None
        for row in range(height):
            for column, colour in np.ndindex(width, channels):
                table = steps.send(values)[:size]
                if not np.isfinite(table).all():
                    raise InputError("variables must give finite probabilities: these cannot code images.")
                values = np.zeros(batch_size, np.int32)
                values[:size] = code(table, (slice(start, start + size), row, column, colour))
            if on_row is not None:
                on_row(row)


def _digest_pixels(images: np.ndarray) -> bytes:
    return digest(*(np.ascontiguousarray(image, "<u2").tobytes() for image in images))


def _constriction() -> tuple[Any, Any]:
    """Returns the range coder, and the family of distributions that it codes with."""
    try:
        import constriction
    except ImportError:
        raise InputError("Compression needs constriction: pip install 'pixelcnn-jax[codec]'.") from None
    return constriction.stream.queue, constriction.stream.model.Categorical(perfect=False)
