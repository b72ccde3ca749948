"""The container of compressed images, checked and bounded before decoding.

    magic, version, length of all | digest of the model | sizes | extra | length of each group | groups | digest

The sizes are count, height, width and channels of the images, and ``levels``, ``batch_size``, ``lanes`` (of the entropy
coder), ``tile`` (0 for none) and the length of ``extra``, which holds bytes of the caller. Numbers are little-endian,
and the lengths of groups are varints. In this module, a group is what is decoded alone. Without tiles, it has up to
``batch_size`` images. With tiles, it has one tile of each of these images, from the same row and column of tiles. (The
argument ``group`` of ``decompress`` counts differently: there, a group is up to ``batch_size`` images with all their
tiles.) Each stream, the bytes of a group, is padded to at least one byte per ``SUBPIXELS_PER_BYTE`` sub-pixels, so a
short file cannot claim to hold a large number of them.
"""

import hashlib
import itertools
import math
import struct
from dataclasses import dataclass, replace

from pixelcnn_jax.foundation.errors import InputError

MAGIC = b"\x93PCNN\r\n\x1a"  # a transfer in text mode damages it
VERSION = 2
LOW = 1 << 24  # smallest state of the coder
MAX_CODED_SUBPIXELS = 2**28  # of all images in a container
MAX_ROW = 2**16  # pixels in one row of a batch
SUBPIXELS_PER_BYTE = 1024  # at most; real images have less than 60

_START = struct.Struct("<8sHQ")
_NUMBERS = struct.Struct("<16sQIIIIIIII")
_SIZE = 8  # bytes of a digest; a damage goes unnoticed with a probability of 1 in 2**64


@dataclass(frozen=True)
class Container:
    """Fields of a container.

    Attributes:
      model: Digest of the integer network.
      shape: Count, height, width, channels.
      levels: Intensity levels.
      batch_size: Images per group; the groups of the last images may have fewer.
      lanes: Number of entropy coders (rANS states) of a group; each codes a part of the images.
      tile: Height and width of the tiles, which are coded separately; 0 for whole images.
      extra: The caller's bytes.
      streams: The bytes of each group.
      first: Index of the tile, if this container was made by ``only`` for one tile.
      columns_of_all: If the method ``only`` made this container, ``columns`` of the complete one, because the decoder
        is compiled for that width. Otherwise 0.
    """

    model: bytes
    shape: tuple[int, ...]
    levels: int
    batch_size: int
    lanes: int
    tile: int
    extra: bytes
    streams: tuple[bytes, ...] = ()
    first: int = 0
    columns_of_all: int = 0

    def only(self, group: int | None, tile: tuple[int, int] | None) -> "Container":
        """Selects a part.

        Args:
          group: Selects the images of this group, counted as by ``decompress``; None for all images.
          tile: This tile of each image; None for whole images.
        """
        count, *size, channels = self.shape
        rows, columns = self.grid
        tiles = rows * columns
        streams, first = self.streams, self.first
        if group is not None:
            if not 0 <= group < len(streams) // tiles:
                raise InputError(f"group must be 0 to {len(streams) // tiles - 1}, got {group}.")
            streams, count = streams[group * tiles :][:tiles], self.images_of(group * tiles)
        if tile is not None:
            if not (0 <= tile[0] < rows and 0 <= tile[1] < columns):
                raise InputError(f"tile must be (0, 0) to ({rows - 1}, {columns - 1}), got {tile}.")
            first = tile[0] * columns + tile[1]
            streams, size = streams[first::tiles], [*self.extent_of(first)]
        return replace(self, shape=(count, *size, channels), streams=streams, first=first, columns_of_all=self.columns)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        height, width = self.shape[1:3]
        return (-(-height // self.tile), -(-width // self.tile)) if self.tile else (1, 1)

    @property
    def columns(self) -> int:
        """Width of the images or of the widest tile, for which coder and decoder are compiled."""
        return self.columns_of_all or min(self.tile or self.shape[2], self.shape[2])

    @property
    def groups(self) -> int:
        return -(-self.shape[0] // self.batch_size) * math.prod(self.grid)

    @property
    def rows(self) -> int:
        """Number of rows of pixels that are coded in all: the sum of the heights of all groups."""
        return self.groups // self.grid[0] * self.shape[1]

    def images_of(self, group: int) -> int:
        return min(self.batch_size, self.shape[0] - group // math.prod(self.grid) * self.batch_size)

    def window_of(self, group: int) -> tuple[slice, ...]:
        """Locates a group: images, rows and columns."""
        part, tile = divmod(group, math.prod(self.grid))
        at = part * self.batch_size, *(self.tile * place for place in divmod(tile, self.grid[1]))
        sizes = zip(at, (self.images_of(group), *self.extent_of(group)), strict=True)
        return tuple(slice(start, start + size) for start, size in sizes)

    def extent_of(self, group: int) -> tuple[int, int]:
        """Computes a group's height and width."""
        row, column = divmod(group % math.prod(self.grid), self.grid[1])
        height, width = self.shape[1:3]
        return min(self.tile or height, height - self.tile * row), min(self.tile or width, width - self.tile * column)

    def state_of(self, group: int) -> int:
        """Computes the coder's first state for a group. It differs between tiles, so exchanged tiles are noticed."""
        return LOW + self.first + group % math.prod(self.grid)

    def subpixels_of(self, group: int) -> int:
        return math.prod((self.images_of(group), *self.extent_of(group), self.shape[3]))


def digest(*parts: bytes | memoryview) -> bytes:
    """Computes a short digest."""
    return hashlib.sha256(b"".join(parts)).digest()[:_SIZE]


def padded(coded: bytes, subpixels: int) -> bytes:
    """Pads a stream to its minimum length, which is a multiple of 4 bytes."""
    return coded.ljust(4 * -(-subpixels // (4 * SUBPIXELS_PER_BYTE)), b"\0")


def pack(container: Container) -> bytes:
    """Serialises a container."""
    numbers = *container.shape, container.levels, container.batch_size, container.lanes, container.tile
    lengths = [_varint(len(stream)) for stream in container.streams]
    header = _NUMBERS.pack(container.model, *numbers, len(container.extra))
    body = b"".join([header, container.extra, *lengths, *container.streams])
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


def check_size(shape: tuple[int, ...], columns: int, *, max_subpixels: int = MAX_CODED_SUBPIXELS) -> None:
    """Raises InputError for no images, too many sub-pixels, or too many columns of an image or tile."""
    if not 0 < math.prod(shape) <= max_subpixels or columns > MAX_ROW:
        raise InputError(
            f"images must have 1 to {max_subpixels} sub-pixels, in rows of at most {MAX_ROW} pixels, got shape "
            f"{[*shape]}: code them in parts or in tiles, or raise max_subpixels to decompress them."
        )


def _unpack_body(body: bytes) -> Container:
    model, *shape, levels, batch_size, lanes, tile, extra_length = _NUMBERS.unpack_from(body)
    at = _NUMBERS.size + extra_length
    container = Container(model, tuple(shape), levels, batch_size, lanes, tile, body[_NUMBERS.size : at])
    lengths: list[int] = []
    if min(shape) < 1 or not 1 <= lanes <= batch_size <= min(shape[0], max(1, MAX_ROW // container.columns)):
        raise IndexError
    for _ in range(min(container.groups, len(body))):
        length = shift = 0
        while body[at] & 128 and shift < 63:
            length, shift, at = length | (body[at] & 127) << shift, shift + 7, at + 1
        lengths.append(length | body[at] << shift)
        at += 1
    ends = [at + end for end in itertools.accumulate(lengths)]
    if ends[-1] != len(body) or len(lengths) != container.groups:
        raise IndexError
    for group, length in enumerate(lengths):
        subpixels = container.subpixels_of(group)
        # At most 20 bits per symbol, two symbols per sub-pixel, plus padding.
        if not max(4 * lanes, subpixels / SUBPIXELS_PER_BYTE) <= length <= 4 * lanes + 6 * subpixels:
            raise IndexError
    return replace(container, streams=tuple(body[end - n : end] for end, n in zip(ends, lengths, strict=True)))
