"""Stored splits."""

import concurrent.futures
import itertools
import pathlib
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

# {"image": [height, width, channels]} and, if they are carried, {"label": int32} and {"caption": int32 [words]}
Example = dict[str, Any]
Reader = Callable[[int], Example]

CACHE_BYTES = 2**30  # decoded images per split
INSPECTED = 256  # images inspected before training


class Source(NamedTuple):
    """A split as stored.

    Attributes:
      title: name and version, such as "mnist 3.0.1".
      rows: stored rows of the split.
      read: reads a row.
      levels: intensity levels.
      classes: number of classes, with labels.
      files: image files by stored row.
      words: caption vocabulary.
      class_names: name per class.
      stored: stored split of the rows; "" if all splits share one numbering.
    """

    title: str
    rows: Sequence[int]
    read: Reader
    levels: int = 256
    classes: int | None = None
    files: Mapping[int, pathlib.Path] | None = None
    words: tuple[str, ...] | None = None
    class_names: tuple[str, ...] | None = None
    stored: str = ""

    def example(self, index: int) -> Example:
        return self.read(self.rows[index])

    def name(self, row: int) -> str:
        """Names an image for errors."""
        return str(self.files[row]) if self.files else f"image {row}"

    def reader(self) -> Reader:
        """Makes an `example` that caches images until they fill ``CACHE_BYTES``."""
        cached: dict[int, Example] = {}
        room = CACHE_BYTES

        def example(index: int) -> Example:
            nonlocal room
            if index in cached:
                return cached[index]
            read = self.example(index)
            if (size := read["image"].nbytes) <= room:
                cached[index], room = read, room - size
            return read

        return example


def read_ahead(read: Reader, *, start: int = 0, stop: int = sys.maxsize, threads: int = 2) -> Iterator[Example]:
    """Yields `read(start)` to `read(stop - 1)`, prefetched by threads."""
    indices = iter(range(start, stop))
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        waiting = deque(pool.submit(read, index) for index in itertools.islice(indices, 2 * threads))
        while waiting:
            ready = waiting.popleft().result()
            waiting.extend(pool.submit(read, index) for index in itertools.islice(indices, 1))
            yield ready
