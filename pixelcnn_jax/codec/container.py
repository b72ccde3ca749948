"""The bytes of compressed images: what is declared, checked and bounded before anything is decoded.

    magic, version, length of all | digests | numbers | texts | extra | words of the range coder | digest of all that

Numbers are little-endian. Nothing here needs JAX.
"""

import hashlib
import struct
from dataclasses import dataclass
from typing import Any

from pixelcnn_jax.errors import InputError

MAGIC = b"\x93PCNN\r\n\x1a"  # not text, and found out if it is treated as such
VERSION = 1
MAX_SUBPIXELS = 2**28  # of all images together
MAX_ROW = 2**16  # pixels in one row of a batch, for which a network computes at once

_START = struct.Struct("<8sHQ")
_NUMBERS = struct.Struct("<QIIIIII")
_DIGESTS = ("model", "weights", "condition", "pixels")
_TEXTS = ("dtype", "jax", "jaxlib", "platform")
_SIZE = 8  # bytes of a digest: of 2**64 damages one would pass


@dataclass(frozen=True, kw_only=True)
class Container:
    """Compressed images, taken apart.

    Attributes:
      model, weights, condition: digests of what computed the probabilities; the decoder must have the same.
      pixels: digest of the images.
      shape: of the images: count, height, width, channels.
      levels: values a sub-pixel can take.
      batch_size: images computed at once; probabilities are the same to the bit at the same size only.
      dtype: what the layers computed in.
      jax, jaxlib, platform: versions, and "cpu", "gpu" or "tpu".
      extra: bytes of the caller's, kept as they are.
      words: what the range coder wrote.
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
    """A short digest of bytes."""
    state = hashlib.blake2b(digest_size=_SIZE)
    for part in parts:
        state.update(part)
    return state.digest()


def pack(container: Container) -> bytes:
    """The bytes of a container."""
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
    """Takes a container apart; raises InputError for bytes that are none, damaged, or beyond the bounds."""
    length = length_of(data)
    if length != len(data):
        raise InputError(f"The compressed images are damaged: {len(data)} bytes, where {length} are declared.")
    view = memoryview(data)
    if digest(view[:-_SIZE]) != view[-_SIZE:]:
        raise InputError("The compressed images are damaged: their checksum does not match.")
    try:
        return _unpack_body(data[_START.size : -_SIZE])
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise InputError("The compressed images are damaged: their header ends early.") from error


def length_of(data: bytes) -> int:
    """How many bytes the container at the beginning of ``data`` takes; raises InputError where none begins."""
    if len(data) < _START.size or not data.startswith(MAGIC):
        raise InputError("These are no images compressed by pixelcnn_jax, or their beginning is damaged.")
    _, version, length = _START.unpack_from(data)
    if version != VERSION:
        raise InputError(f"The images were compressed in version {version} of the format; this reads {VERSION}.")
    if length < _START.size + _SIZE:
        raise InputError(f"The compressed images are damaged: {length} bytes are declared.")
    return length


def check_bounds(shape: tuple[int, ...], batch_size: int, *, most: int = MAX_SUBPIXELS) -> None:
    """Raises InputError for images that would take more memory than is granted."""
    count, height, width, channels = shape
    if min(*shape, batch_size) < 1:
        raise InputError(f"There is nothing to code in images of shape {list(shape)} in batches of {batch_size}.")
    if count * height * width * channels > most:
        raise InputError(f"Images of shape {list(shape)} have more than {most} sub-pixels: code them in parts.")
    if batch_size > count or batch_size * width > MAX_ROW:
        raise InputError(
            f"Batches of {batch_size} images of {width} columns are too large: at most {count} images and "
            f"{MAX_ROW} columns together."
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
    return Container(
        **named,
        shape=tuple(shape),
        levels=levels,
        batch_size=batch_size,
        extra=extra,
        words=words,
    )
