"""Stored splits and the checks of their images."""

import concurrent.futures
import functools
import itertools
import math
import pathlib
import sys
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from pixelcnn_jax.foundation.errors import InputError

# {"image": [height, width, channels]} and, if they are carried, {"label": int32} and {"caption": int32 [words]}
Example = dict[str, Any]

CACHE_BYTES = 2**30  # decoded images per split
INSPECTED = 256  # images inspected before training

Item = TypeVar("Item")


class Source(NamedTuple):
    """A split as stored.

    Attributes:
      title: name and version, such as "mnist 3.0.1".
      rows: stored rows of the split.
      read: reads several rows.
      levels: intensity levels.
      classes: number of classes, with labels.
      files: image files by stored row.
      block: rows best read together.
      words: caption vocabulary.
      class_names: name per class.
      stored: stored split of the rows; "" if all splits share one numbering.
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
        return self.read([self.rows[index]])[0]

    def reader(self) -> Callable[[int], Example]:
        """Makes a cached `example`."""
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
    """Yields `read(start)` to `read(stop - 1)`, prefetched by threads."""
    indices = iter(range(start, stop))
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        waiting = deque(pool.submit(read, index) for index in itertools.islice(indices, 2 * threads))
        while waiting:
            ready = waiting.popleft().result()
            waiting.extend(pool.submit(read, index) for index in itertools.islice(indices, 1))
            yield ready


def some(items: Sequence[Item]) -> Sequence[Item]:
    """Selects at most ``INSPECTED`` items, evenly spaced."""
    return items[:: math.ceil(len(items) / INSPECTED)]


def highest_of_some(read: Callable[[int], Example], count: int) -> int:
    """Computes the highest value in some images."""
    indices = some(range(count))
    examples = read_ahead(lambda i: read(indices[i]), stop=len(indices), threads=8)
    return max(int(example["image"].max()) for example in examples)


def checked(source: Source, *, levels: int) -> Source:
    """Checks images as they are read.

    Refused: shapes unlike the first, values not below ``levels``, missing labels (-1 in TFDS).
    """
    shape = source.example(0)["image"].shape

    def name(row: int) -> str:
        return str(source.files[row]) if source.files else f"image {row}"

    def check(row: int, example: Example) -> Example:
        image = example["image"]
        if image.shape != shape:
            different = f"{name(source.rows[0])} is {shape} and {name(row)} is {image.shape}"
            remedy = "grey" if image.shape[:2] == shape[:2] else "resize"
            raise InputError(f"The images of {source.title} differ in shape, {different}: set {remedy}.")
        if (highest := int(image.max())) >= levels:
            values = f"{name(row)} of {source.title} holds the value {highest}, above levels={levels}"
            raise InputError(f"{values}: set levels, bits or binarize.")
        if source.classes is not None and not 0 <= example["label"] < source.classes:
            raise InputError(f"{name(row)} of {source.title} has no label: set labels=False or choose other images.")
        return example

    return source._replace(read=lambda rows: [check(*pair) for pair in zip(rows, source.read(rows), strict=True)])
