"""The container of compressed images. All that it declares is checked and bounded before anything is decoded.

    magic, version, length of all | digests | numbers | texts | extra | words of the range coder | digest of all that

Numbers are little-endian. Nothing here needs JAX.
"""

import hashlib
import struct
from dataclasses import dataclass
from typing import Any

from pixelcnn_jax.errors import InputError

MAGIC = b"\x93PCNN\r\n\x1a"  # not text; a transfer in text mode damages it
VERSION = 1
MAX_SUBPIXELS = 2**28  # of all images
MAX_ROW = 2**16  # pixels in one row of a batch

_START = struct.Struct("<8sHQ")
_NUMBERS = struct.Struct("<QIIIIII")
_DIGESTS = ("model", "weights", "condition", "pixels")
_TEXTS = ("dtype", "jax", "jaxlib", "platform")
_SIZE = 8  # bytes of a digest: one of 2**64 damages would pass


@dataclass(frozen=True, kw_only=True)
class Container:
    """The fields of a container.

    Attributes:
      model, weights, condition: digests of what computed the probabilities; the decoder needs the same.
      pixels: digest of the images.
      shape: count, height, width and channels of the images.
      levels: number of values of a sub-pixel.
      batch_size: images computed together; probabilities are bit-identical only at the same size.
      dtype: type that the layers computed in.
      jax, jaxlib, platform: versions, and "cpu", "gpu" or "tpu".
      extra: the caller's bytes.
      words: the output of the range coder.
    """

    model: bytes
    weights: bytes
    condition: bytes
    pixels: bytes
    shape: tuple[int, ...]
    levels: int
    batch_size: int
    dtype: str
    jax: str
    jaxlib: str
    platform: str
    extra: bytes
    words: bytes


def digest(*parts: bytes | memoryview) -> bytes:
    """Returns a short digest of bytes."""
    state = hashlib.blake2b(digest_size=_SIZE)
    for part in parts:
        state.update(part)
    return state.digest()


def pack(container: Container) -> bytes:
    """Returns a container as bytes."""
    numbers = (*container.shape, container.levels, container.batch_size, len(container.extra))
    texts = [getattr(container, name).encode() for name in _TEXTS]
    body = b"".join(
        [
            *(getattr(container, name) for name in _DIGESTS),
            _NUMBERS.pack(*numbers),
            *(bytes([len(text)]) + text for text in texts),
            container.extra,
            container.words,
        ]
    )
    start = _START.pack(MAGIC, VERSION, _START.size + len(body) + _SIZE)
    return start + body + digest(start, body)


def unpack(data: bytes) -> Container:
    """Reads a container. Raises InputError for damaged bytes."""
    length = length_of(data)
    if length != len(data):
        raise InputError(f"data is damaged: it has {len(data)} bytes, its header declares {length}.")
    view = memoryview(data)
    if digest(view[:-_SIZE]) != view[-_SIZE:]:
        raise InputError("data is damaged: its checksum does not match.")
    try:
        return _unpack_body(data[_START.size : -_SIZE])
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise InputError("data is damaged: its header ends early.") from error


def length_of(data: bytes) -> int:
    """Returns the bytes of the container at the start of ``data``. Raises InputError if none starts there."""
    if len(data) < _START.size or not data.startswith(MAGIC):
        raise InputError("data was not compressed by pixelcnn_jax, or its start is damaged.")
    _, version, length = _START.unpack_from(data)
    if version != VERSION:
        raise InputError(f"data has version {version} of the format, but this release reads version {VERSION}.")
    if length < _START.size + _SIZE:
        raise InputError(f"data is damaged: its header declares {length} bytes.")
    return length


def check_bounds(shape: tuple[int, ...], batch_size: int, *, most: int = MAX_SUBPIXELS) -> None:
    """Raises InputError for images that exceed the limits on memory."""
    count, height, width, channels = shape
    if min(*shape, batch_size) < 1:
        raise InputError(f"images must not be empty, got shape {list(shape)} in batches of {batch_size}.")
    if count * height * width * channels > most:
        raise InputError(f"images must have at most {most} sub-pixels, got shape {list(shape)}: code them in parts.")
    if batch_size > count or batch_size * width > MAX_ROW:
        raise InputError(
            f"batch_size must be at most {count}, with at most {MAX_ROW} columns in all, got {batch_size} images of "
            f"{width} columns."
        )


def _unpack_body(body: bytes) -> Container:
    digests = struct.unpack_from(f"<{f'{_SIZE}s' * len(_DIGESTS)}", body)
    at = _SIZE * len(_DIGESTS)
    *shape, levels, batch_size, extra_length = _NUMBERS.unpack_from(body, at)
    at += _NUMBERS.size
    texts = []
    for _ in _TEXTS:
        end = at + 1 + body[at]
        texts.append(body[at + 1 : end].decode())
        at = end
    extra, words = body[at : at + extra_length], body[at + extra_length :]
    if len(extra) != extra_length or len(words) % 4:
        raise IndexError
    named: dict[str, Any] = dict(zip(_DIGESTS + _TEXTS, [*digests, *texts], strict=True))
    return Container(**named, shape=tuple(shape), levels=levels, batch_size=batch_size, extra=extra, words=words)
