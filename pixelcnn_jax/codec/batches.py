"""Batches of image groups, padded to few compiled shapes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from pixelcnn_jax.codec.container import Container
from pixelcnn_jax.models.inputs import Condition

STRIP = 8  # rows that are computed together
COLUMNS = 2**13  # per batch, about: more rows exceed the caches
PADDING = 2**20  # padding cheaper than compiling another program


class Program(NamedTuple):
    """Compiled shape: groups, images per group, lanes per group, columns."""

    groups: int
    images: int
    lanes: int
    columns: int


class Places(NamedTuple):
    """Extent of each image in a padded batch."""

    present: Bool[Array | np.ndarray, "groups images"]
    heights: Int[Array | np.ndarray, " groups"]
    widths: Int[Array | np.ndarray, " groups"]

    def below(self, row: int) -> "Places":
        return self._replace(heights=self.heights - row)

    def inside(self, columns: int) -> Float[Array, "batch 1 columns 1"]:
        """Builds the mask of unpadded columns."""
        mask = jnp.arange(columns)[None] < jnp.repeat(self.widths, self.present.shape[1])[:, None]
        return mask[:, None, :, None].astype(jnp.float32)

    def hold(self, rows: Any, columns: Any) -> Bool[Array, "groups images rows columns"]:
        """Builds the mask of unpadded pixels."""
        rows, columns = jnp.reshape(rows, (1, 1, -1, 1)), jnp.reshape(columns, (1, 1, 1, -1))
        heights, widths = (x[:, None, None, None] for x in (self.heights, self.widths))
        return self.present[:, :, None, None] & (rows < heights) & (columns < widths)


@dataclass(frozen=True)
class Batch:
    """Groups coded together.

    Attributes:
      program: padded shape.
      containers: those of all batches.
      members: container index and index within it, per group.
    """

    program: Program
    containers: Sequence[Container]
    members: Sequence[tuple[int, int]]

    @property
    def images(self) -> int:
        """Number of images, padding included."""
        return self.program.groups * self.program.images

    @property
    def subpixels(self) -> list[int]:
        """Unpadded sub-pixels per group."""
        return [self.containers[index].subpixels_of(group) for index, group in self.members]

    def places(self) -> Places:
        sizes = np.zeros((self.program.groups, 3), np.int32)
        for row, (index, group) in enumerate(self.members):
            sizes[row] = self.containers[index].images_of(group), *self.containers[index].shape[1:3]
        return Places(np.arange(self.program.images) < sizes[:, :1], sizes[:, 1], sizes[:, 2])

    def gather(self, values: Sequence[Any]) -> Shaped[np.ndarray, "batch ..."]:
        """Gathers arrays from all containers, zero-padded."""
        rows, first = max(1, -(-self.places().heights.max() // STRIP)) * STRIP, values[0]
        size = (rows, self.program.columns) if first.ndim == 4 else ()
        result = np.zeros((*self.program[:2], *size, first.shape[-1]), first.dtype)
        for padded, x in self._pairs(result, values):
            padded[...] = x
        return result.reshape(-1, *result.shape[2:])

    def scatter(self, padded: Shaped[np.ndarray, "batch ..."], values: Sequence[np.ndarray]) -> None:
        """The inverse of ``gather``."""
        for x, part in self._pairs(padded.reshape(*self.program[:2], *padded.shape[1:]), values):
            part[...] = x

    def condition(self, conditions: Sequence[Condition]) -> Condition:
        return Condition(*(None if x[0] is None else self.gather(x) for x in zip(*conditions, strict=True)))

    def _pairs(self, padded: np.ndarray, values: Sequence[Any]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for row, (index, group) in enumerate(self.members):
            first, count = group * self.containers[index].batch_size, self.containers[index].images_of(group)
            part = np.asarray(values[index])[first : first + count]
            yield padded[row][tuple(map(slice, part.shape[:-1]))], part


def plan(containers: Sequence[Container]) -> list[Batch]:
    """Divides all groups into batches of few programs."""
    kinds: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for index, container in sorted(enumerate(containers), key=lambda pair: pair[1].shape[2:0:-1], reverse=True):
        images = -(-container.batch_size // container.lanes) * container.lanes
        members = kinds.setdefault((images, container.lanes), [])
        members += [(index, group) for group in range(container.groups)]
    batches = []
    for (images, lanes), groups in kinds.items():
        for columns, alike in _by_columns(containers, groups, images):
            # Two batches are computed at a time.
            number = max(min(2, len(alike)), -(-len(alike) * images * columns // COLUMNS))
            together = -(-len(alike) // number)
            program, starts = Program(together, images, lanes, columns), range(0, len(alike), together)
            batches += [Batch(program, containers, alike[start : start + together]) for start in starts]
    return batches


def _by_columns(
    containers: Sequence[Container], groups: list[tuple[int, int]], images: int
) -> list[tuple[int, list[tuple[int, int]]]]:
    """Splits groups by width where narrower programs pay off."""
    result: list[tuple[int, list[tuple[int, int]]]] = []
    columns = padding = 0
    for index, group in groups:
        _, height, width, _ = containers[index].shape
        padding += images * height * (columns - width)
        if not result or (2 * width <= columns and padding > PADDING):
            columns, padding = common_size(width), 0
            result.append((columns, []))
        result[-1][1].append((index, group))
    return result


def common_size(pixels: int) -> int:
    """Rounds a side up: beyond 32 pixels, to four sizes per octave."""
    step = 1 << (pixels.bit_length() - 3) if pixels > 32 else 1
    return -(-pixels // step) * step
