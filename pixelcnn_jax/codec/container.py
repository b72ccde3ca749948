"""The container of compressed images, checked and bounded before decoding.

    magic, version, length of all | digest of the model | numbers | extra | length of each group | groups | digest

Numbers are little-endian; group lengths are varints. Streams are padded to one byte per ``SUBPIXELS_PER_BYTE``
sub-pixels: the file length bounds the work it can declare.
"""

import hashlib
import itertools
import math
import struct
from dataclasses import dataclass, replace

from pixelcnn_jax.foundation.errors import InputError

MAGIC = b"\x93PCNN\r\n\x1a"  # a transfer in text mode damages it
VERSION = 1
MAX_CODED_SUBPIXELS = 2**28  # of all images in a container
MAX_ROW = 2**16  # pixels in one row of a batch
SUBPIXELS_PER_BYTE = 1024  # at most; real images have less than 60

_START = struct.Struct("<8sHQ")
_NUMBERS = struct.Struct("<16sQIIIIIII")
_SIZE = 8  # bytes of a digest: one of 2**64 damages would pass


@dataclass(frozen=True)
class Container:
    """Fields of a container.

    Attributes:
      model: digest of the integer network.
      shape: count, height, width, channels.
      levels: intensity levels.
      batch_size: images per group; the last may have fewer.
      lanes: coder states per group.
      extra: the caller's bytes.
      streams: one per group.
    """

    model: bytes
    shape: tuple[int, ...]
    levels: int
    batch_size: int
    lanes: int
    extra: bytes
    streams: tuple[bytes, ...] = ()

    def only(self, group: int) -> "Container":
        """Selects one group."""
        if not 0 <= group < len(self.streams):
            raise InputError(f"group must be 0 to {len(self.streams) - 1}, got {group}.")
        shape = (self.images_of(group), *self.shape[1:])
        return replace(self, shape=shape, streams=self.streams[group : group + 1])

    @property
    def groups(self) -> int:
        return -(-self.shape[0] // self.batch_size)

    def images_of(self, group: int) -> int:
        return min(self.batch_size, self.shape[0] - group * self.batch_size)

    def subpixels_of(self, group: int) -> int:
        return self.images_of(group) * math.prod(self.shape[1:])


def digest(*parts: bytes | memoryview) -> bytes:
    """Computes a short digest."""
    return hashlib.sha256(b"".join(parts)).digest()[:_SIZE]


def padded(coded: bytes, subpixels: int) -> bytes:
    """Pads a stream to whole words and its minimum length."""
    return coded.ljust(4 * -(-subpixels // (4 * SUBPIXELS_PER_BYTE)), b"\0")


def pack(container: Container) -> bytes:
    """Serialises a container."""
    numbers = *container.shape, container.levels, container.batch_size, container.lanes, len(container.extra)
    lengths = [_varint(len(stream)) for stream in container.streams]
    body = b"".join([_NUMBERS.pack(container.model, *numbers), container.extra, *lengths, *container.streams])
    start = _START.pack(MAGIC, VERSION, _START.size + len(body) + _SIZE)
    return start + body + digest(start, body)


def _varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + _varint(number >> 7)


def unpack(data: bytes) -> Container:
    """Parses a container, or raises InputError."""
    if length_of(data) != len(data) or digest(data[:-_SIZE]) != data[-_SIZE:]:
        raise InputError(f"data is damaged: its checksum or its length, {len(data)} bytes, does not match.")
    try:
        return _unpack_body(data[_START.size : -_SIZE])
    except (struct.error, IndexError) as error:
        raise InputError("data is damaged: its header does not fit its length.") from error


def length_of(data: bytes) -> int:
    """Reads a container's length from its first bytes."""
    magic, version, length = _START.unpack(data[: _START.size].ljust(_START.size, b"\0"))
    if magic != MAGIC or length < _START.size + _SIZE:
        raise InputError("data was not compressed by pixelcnn_jax, or its start is damaged.")
    if version != VERSION:
        raise InputError(f"data has version {version} of the format, but this release reads version {VERSION}.")
    return int(length)


def check_size(shape: tuple[int, ...], *, max_subpixels: int = MAX_CODED_SUBPIXELS) -> None:
    """Raises InputError for no images or too many sub-pixels."""
    if not 0 < math.prod(shape) <= max_subpixels or shape[2] > MAX_ROW:
        raise InputError(
            f"images must have 1 to {max_subpixels} sub-pixels, in rows of at most {MAX_ROW} pixels, got shape "
            f"{[*shape]}: code them in parts."
        )


def _unpack_body(body: bytes) -> Container:
    model, *shape, levels, batch_size, lanes, extra_length = _NUMBERS.unpack_from(body)
    at = _NUMBERS.size + extra_length
    extra, lengths = body[_NUMBERS.size : at], []
    if min(shape) < 1 or not 1 <= lanes <= batch_size <= min(shape[0], max(1, MAX_ROW // shape[2])):
        raise IndexError
    for _ in range(min(-(-shape[0] // batch_size), len(body))):
        length = shift = 0
        while body[at] & 128 and shift < 63:
            length, shift, at = length | (body[at] & 127) << shift, shift + 7, at + 1
        lengths.append(length | body[at] << shift)
        at += 1
    ends = [at + end for end in itertools.accumulate(lengths)]
    if ends[-1] != len(body) or len(lengths) * batch_size < shape[0]:
        raise IndexError
    streams = tuple(body[end - length : end] for end, length in zip(ends, lengths, strict=True))
    container = Container(model, tuple(shape), levels, batch_size, lanes, extra, streams)
    for group, length in enumerate(lengths):
        subpixels = container.subpixels_of(group)
        # At most 20 bits per sub-pixel, plus padding.
        if not max(4 * lanes, subpixels / SUBPIXELS_PER_BYTE) <= length <= 4 * lanes + 3 * subpixels:
            raise IndexError
    return container
