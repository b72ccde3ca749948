"""Batches of image groups, padded to few compiled shapes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped, UInt32

from pixelcnn_jax.codec.container import LOW, MAX_ROW, Container
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.inputs import Condition

STRIP = 8  # rows that are computed together
COLUMNS = 2**13  # per batch, about: more rows exceed the caches
PADDING = 2**20  # padded pixels that cost less than compiling another program
FEW = 4  # programs for images of any sizes, and one more for every PADDING pixels of theirs


class Program(NamedTuple):
    """Compiled shape: groups, images per group, lanes per group, columns."""

    groups: int
    images: int
    lanes: int
    columns: int


class Positions(NamedTuple):
    """Extent of each image in a padded batch."""

    present: Bool[Array | np.ndarray, "groups images"]
    heights: Int[Array | np.ndarray, " groups"]
    widths: Int[Array | np.ndarray, " groups"]

    def below(self, row: int) -> "Positions":
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
      program: padded shape, for which the coder is compiled.
      containers: those of all batches.
      members: for each group, the index of its container and the index of the group in it.
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

    @property
    def heads(self) -> list[int]:
        """Bytes of the coder states of each group."""
        return [4 * self.containers[index].lanes for index, _ in self.members]

    @property
    def states(self) -> UInt32[np.ndarray, "groups lanes"]:
        """State of every lane before its first image is encoded."""
        states = [self.containers[index].state_of(group) for index, group in self.members]
        states += [LOW] * (self.program.groups - len(states))
        return np.repeat(np.array(states, np.uint32)[:, None], self.program.lanes, axis=1)

    def places(self) -> Positions:
        present, (heights, widths) = np.zeros(self.program[:2], bool), np.zeros((2, self.program.groups), np.int32)
        for (row, images), index, _ in self._groups():
            present[row, images] = True
            heights[row], widths[row] = self.containers[index].extent_of(self.members[row][1])
        return Positions(present, heights, widths)

    def gather(self, values: Sequence[Any]) -> Shaped[np.ndarray, "batch ..."]:
        """Gathers arrays from all containers, zero-padded."""
        rows, first = max(1, -(-self.places().heights.max() // STRIP)) * STRIP, values[0]
        size = (rows, self.program.columns) if first.ndim == 4 else ()
        result = np.zeros((*self.program[:2], *size, first.shape[-1]), first.dtype)
        for at, index, window in self._groups():
            x = values[index][window[: first.ndim - 1]]
            result[(*at, *map(slice, x.shape[1:-1]))] = x
        return result.reshape(-1, *result.shape[2:])

    def scatter(self, padded: Shaped[np.ndarray, "batch ..."], values: Sequence[np.ndarray]) -> None:
        """The inverse of ``gather``."""
        padded = padded.reshape(*self.program[:2], *padded.shape[1:])
        for at, index, window in self._groups():
            part = values[index][window]
            part[...] = padded[(*at, *map(slice, part.shape[1:-1]))]

    def condition(self, conditions: Sequence[Condition]) -> Condition:
        return Condition(*(None if x[0] is None else self.gather(x) for x in zip(*conditions, strict=True)))

    def _groups(self) -> Iterator[tuple[tuple[Any, ...], int, tuple[slice, ...]]]:
        """Yields each group's row and places in it, its container, and its images, rows and columns there.

        Padded lanes stay empty: the lane of an image is that of the container.
        """
        for row, (index, group) in enumerate(self.members):
            lanes, images = self.containers[index].lanes, np.arange(self.containers[index].images_of(group))
            places = images // lanes * self.program.lanes + images % lanes
            yield (row, places), index, self.containers[index].window_of(group)


def plan(containers: Sequence[Container]) -> list[Batch]:
    """Divides all groups into batches of few programs.

    Groups with a similar number of images per lane, of lanes and of columns share a program, unless it pads too much.

    Raises:
      InputError: if small images are too different to share a program.
    """
    frames = [(-(-x.batch_size // x.lanes), x.lanes, common_size(x.columns)) for x in containers]
    kinds: list[list[int]] = []
    frame: tuple[int, ...] = (0, 0, 0)
    rows = padding = 0
    for index in sorted(range(len(containers)), key=frames.__getitem__, reverse=True):
        own, height = frames[index], containers[index].rows
        shared, work = tuple(map(max, frame, own)), height * math.prod(own)
        more = (rows + height) * math.prod(shared) - rows * math.prod(frame) - work
        padding += more
        if not kinds or (more >= work and (padding > PADDING or math.prod(shared) > MAX_ROW)):
            shared, rows, padding = own, 0, 0
            kinds.append([])
        kinds[-1].append(index)
        frame, rows = shared, rows + height
    if len(kinds) > FEW + sum(math.prod(x.shape[:3]) for x in containers) // PADDING:
        raise InputError("images whose sizes or groups differ this much cannot be coded together: code them in parts.")
    batches = []
    for kind in kinds:
        steps, lanes, columns = map(max, zip(*(frames[index] for index in kind), strict=True))
        kind.sort(key=lambda index: containers[index].shape[1])  # a batch has the height of its highest images
        groups = [(index, group) for index in kind for group in range(containers[index].groups)]
        unit, rows = steps * lanes * columns, sum(containers[index].rows for index in kind)
        # Two batches are computed at a time.
        number = max(min(2, len(groups)), -(-len(groups) * unit // COLUMNS))
        tallest = max(containers[index].extent_of(0)[0] for index in kind)  # to which the last batch is padded
        together = min(-(-len(groups) // number), max(1, (2 * rows + PADDING // unit) // tallest))
        program, starts = Program(together, steps * lanes, lanes, columns), range(0, len(groups), together)
        batches += [Batch(program, containers, groups[start : start + together]) for start in starts]
    return batches


def common_size(pixels: int) -> int:
    """Rounds a side up: beyond 32 pixels, to four sizes per octave."""
    step = 1 << (pixels.bit_length() - 3) if pixels > 32 else 1
    return -(-pixels // step) * step
