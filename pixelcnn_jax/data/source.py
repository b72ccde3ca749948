"""A split as it is stored, before any option is applied: what the modules for each kind of data set return."""

import concurrent.futures
import functools
import itertools
import pathlib
import sys
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

# {"image": [height, width, channels]} and, if they are carried, {"label": int32} and {"caption": int32 [words]}
Example = dict[str, Any]

CACHE_BYTES = 2**30  # of the decoded images of a split that are kept in memory


class Source(NamedTuple):
    """A split as it is stored.

    Attributes:
      title: name and version of the data set, such as "mnist 3.0.1".
      rows: the stored rows that make up the split.
      read: reads several rows.
      levels: number of values of a sub-pixel.
      classes: number of classes; None if labels are not carried.
      files: all image files by stored row, where images are files.
      block: number of rows that are best read together.
      words: the vocabulary of the captions; None if captions are not carried.
      class_names: the name of each class, where a folder has them and labels are carried.
      stored: the stored split that the rows are of; "" if the rows of all splits are numbered together.
    """

    title: str
    rows: Sequence[int]
    read: Callable[[Sequence[int]], list[Example]]
    levels: int = 256
    classes: int | None = None
    files: Sequence[pathlib.Path] | None = None
    block: int = 1
    words: tuple[str, ...] | None = None
    class_names: tuple[str, ...] | None = None
    stored: str = ""

    def example(self, index: int) -> Example:
        """Reads the example at an index of the split."""
        return self.read([self.rows[index]])[0]

    def reader(self) -> Callable[[int], Example]:
        """Returns `example`, which keeps the first images, up to `CACHE_BYTES`, once they have been read."""
        kept = CACHE_BYTES // (self.example(0)["image"].nbytes * self.block)

        @functools.cache
        def block(number: int) -> list[Example]:
            return self.read(self.rows[number * self.block : (number + 1) * self.block])

        locks: dict[int, threading.Lock] = defaultdict(threading.Lock)  # else each thread would decode a shared block

        def cached(index: int) -> Example:
            number, place = divmod(index, self.block)
            if number >= kept:
                return self.example(index)
            with locks[number]:
                return block(number)[place]

        return cached


def read_ahead(
    read: Callable[[int], Example], *, start: int = 0, stop: int = sys.maxsize, threads: int = 2
) -> Iterator[Example]:
    """Yields `read(start)` to `read(stop - 1)`, while threads read the next few."""
    indices = iter(range(start, stop))
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        waiting = deque(pool.submit(read, index) for index in itertools.islice(indices, 2 * threads))
        while waiting:
            ready = waiting.popleft().result()
            waiting.extend(pool.submit(read, index) for index in itertools.islice(indices, 1))
            yield ready
