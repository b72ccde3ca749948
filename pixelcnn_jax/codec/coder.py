"""Codes groups of images with a network and the coder, in strips of rows; rejects files that other weights coded."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, UInt, UInt8, UInt32

from pixelcnn_jax.codec import rans
from pixelcnn_jax.codec.batches import STRIP, Batch, Positions, plan
from pixelcnn_jax.codec.bounds import check_bounds
from pixelcnn_jax.codec.container import Container, padded
from pixelcnn_jax.codec.frequencies import HighByte, symbol_intervals
from pixelcnn_jax.codec.integer import IntegerPixelCNN, digest_of_integers
from pixelcnn_jax.codec.integer_stream import IntegerStream, as_floats, distribution_of, products_are_exact
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.gated_stream import Rows
from pixelcnn_jax.models.inputs import Condition, Images
from pixelcnn_jax.models.parameters import Params
from pixelcnn_jax.models.streaming import OnRow, advance_row, first_rows

_DAMAGED = "data does not decode to images: it is damaged, or h or s is not what compress was given."
IMAGES_PER_LANE = {"softmax": 128, "mixture": 32}  # a lane takes 4 bytes


@dataclass(frozen=True)
class Coder:
    """Coder of images of any sizes.

    Attributes:
      model, params: the model.
      containers: one per size of image; for encoding, they have no streams yet.
      conditions: one per container.
      on_row: callback per finished row of a group.
    """

    model: IntegerPixelCNN
    params: Params
    containers: Sequence[Container]
    conditions: Sequence[Condition]
    on_row: OnRow | None

    def compress(self, images: Sequence[Any], *, verify: bool) -> list[Container]:
        """Encodes at -log2 p(x | h) bits, plus 4 bytes per lane and the length of each group.

        Raises:
          InputError: if this machine is inexact or fails to ``verify``.
        """
        encode = partial(self._encode, images)
        batches = self._batches(encode, *([self._decode] if verify else []))
        streams: dict[tuple[int, int], bytes] = {}
        for batch, coded in zip(batches, _in_pairs(encode, batches), strict=True):
            streams |= dict(zip(batch.members, coded, strict=True))
        containers = [
            replace(container, streams=tuple(streams[index, group] for group in range(container.groups)))
            for index, container in enumerate(self.containers)
        ]
        if verify and not all(map(np.array_equal, replace(self, containers=containers).decompress(), images)):
            raise InputError("images cannot be compressed here: this machine decodes different images from its own.")
        return containers

    def decompress(self) -> list[UInt[np.ndarray, "..."]]:
        """Decodes all containers.

        Raises:
          InputError: for damaged data, a different model, weights, h or s, or a machine that is not exact.
        """
        expected = digest_of_integers(self.model, self.params), self.model.channels, self.model.levels
        if any((container.model, container.shape[-1], container.levels) != expected for container in self.containers):
            raise InputError("data was compressed with a different model or weights: decompress with the same.")
        if any((np.frombuffer(y[: 4 * x.lanes], "<u4") < rans.LOW).any() for x in self.containers for y in x.streams):
            raise InputError(_DAMAGED)
        batches = self._batches(self._decode)
        images = [np.zeros(x.shape, np.uint8 if x.levels <= 256 else np.uint16) for x in self.containers]
        for batch, decoded in zip(batches, _in_pairs(self._decode, batches), strict=True):
            batch.scatter(decoded, images)
        return images

    def _batches(self, *works: Callable[[Batch], Any]) -> list[Batch]:
        """Plans batches and compiles their programs, after the checks that make the codec safe.

        Raises:
          InputError: If the variables are not masked integers whose sums stay within the bounds, the sizes of the
            images differ too much to code them together, or this machine does not compute float32 products exactly.
        """
        check_bounds(self.model, {"params": self.params})
        batches = plan(self.containers)
        first = {batch.program: replace(batch, members=()) for batch in batches}.values()
        for batch in first:
            shape = batch.images, STRIP, batch.program.columns
            kernels = (self.params[name]["vertical"]["kernel"].shape[-5:] for name in ("first", "layers"))
            if not all(products_are_exact(shape, kernel, jnp.zeros(()).device) for kernel in kernels):
                raise InputError("Coding with integers needs a machine that computes float32 products exactly.")
        list(_in_pairs(lambda work: work(), [partial(work, batch) for batch in first for work in works]))
        return batches

    def _encode(self, every: Sequence[Any], batch: Batch) -> list[bytes]:
        images, condition = batch.gather(every), batch.condition(self.conditions)
        places, strips = batch.places(), []
        rows = first_rows(IntegerStream(self.model), self.params, batch.images, batch.program.columns)
        for first in range(0, images.shape[1], STRIP):
            strip = images[:, first : first + STRIP], _strip(condition, first), places.below(first)
            intervals, rows = _intervals_of_strip(IntegerStream(self.model), self.params, rows, *strip)
            strips.append(intervals)
            self._report(places, first)
        coded = rans.encode(strips, batch.states, total_bits=self.model.total_bits)
        sizes = zip(coded, batch.heads, batch.subpixels, strict=False)
        return [padded(x[:head] + x[4 * batch.program.lanes :], subpixels) for x, head, subpixels in sizes]

    def _decode(self, batch: Batch) -> UInt[np.ndarray, "batch rows columns channels"]:
        """Decodes a padded batch."""
        condition, places, heads = batch.condition(self.conditions), batch.places(), batch.heads
        streams = [self.containers[index].streams[group] for index, group in batch.members]
        states = batch.states
        ends, positions = np.zeros((2, batch.program.groups), np.int32)
        for row, (stream, head) in enumerate(zip(streams, heads, strict=True)):
            states[row, : head // 4], ends[row] = np.frombuffer(stream[:head], "<u4"), len(stream) - head
        coder, strips = jnp.asarray(states), []
        rows = first_rows(IntegerStream(self.model), self.params, batch.images, batch.program.columns)
        most = STRIP * batch.program.columns * batch.program.images * self.model.channels * 6  # bytes of a strip
        for first in range(0, max(1, places.heights.max()), STRIP):
            data = np.zeros((batch.program.groups, most), np.uint8)
            for row, stream in enumerate(streams):
                piece = stream[(at := heads[row] + positions[row]) : at + most]
                data[row, : len(piece)] = np.frombuffer(piece, np.uint8)
            strip = data, ends - positions, _strip(condition, first), places.below(first)
            values, rows, coder, read = _decode_strip(IntegerStream(self.model), self.params, rows, coder, *strip)
            strips.append(np.asarray(values, np.uint16))
            positions = positions + np.asarray(read)
            if (positions > ends).any():
                break
            self._report(places, first)
        ended = (np.asarray(coder) == batch.states).all() and (positions <= ends).all()
        whole = (
            padded(stream[: head + end], size) == stream
            for stream, head, end, size in zip(streams, heads, positions, batch.subpixels, strict=False)
        )
        if not ended or not all(whole):
            raise InputError(_DAMAGED)
        return np.concatenate(strips, axis=1)

    def _report(self, places: Positions, first: int) -> None:
        if self.on_row is None:
            return
        with _reporting:
            for height in places.heights:
                for row in range(first, min(first + STRIP, height)):
                    self.on_row(row)


_reporting = threading.Lock()


def _strip(condition: Condition, first: int) -> Condition:
    return condition._replace(s=None if condition.s is None else condition.s[:, first : first + STRIP])


def _in_pairs(work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    """Yields results in order, computed two at a time."""
    device = cast(Any, jax.config).jax_default_device  # of this thread

    def on_device(item: Any) -> Any:
        with jax.default_device(device):
            return work(item)

    pool = ThreadPoolExecutor(2)
    try:
        yield from pool.map(on_device, items)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # Ctrl-C does not wait for what is being computed


@partial(jax.jit, static_argnames="stream")
def _intervals_of_strip(
    stream: IntegerStream, params: Params, rows: Rows, images: Images, condition: Condition, places: Positions
) -> tuple[tuple[Array, Array], Rows]:
    """Computes starts and frequencies in a strip [groups, images, sub-pixels]."""
    net = as_floats(stream.model, params) | {"inside": places.inside(images.shape[2])}
    outputs, rows = stream.read_rows(net, rows, images, condition)
    distribution = distribution_of(stream.model, net["tables"])
    by_row = (jnp.moveaxis(jnp.asarray(x), 1, 0) for x in (outputs, images))  # all levels of all rows are much memory
    by_row = jax.lax.map(lambda row: symbol_intervals(distribution, distribution.read(row[0]), row[1]), tuple(by_row))
    starts, frequencies = (jnp.moveaxis(x, 0, 1) for x in by_row)
    held = places.hold(jnp.arange(STRIP), jnp.arange(images.shape[2])).reshape(*images.shape[:3], 1, 1)
    intervals = starts, jnp.where(held, frequencies, np.uint32(0))
    return jax.tree.map(lambda x: x.reshape(*places.present.shape, -1), intervals), rows


@partial(jax.jit, static_argnames="stream")
def _decode_strip(
    stream: IntegerStream,
    params: Params,
    rows: Rows,
    states: UInt32[Array | np.ndarray, "groups lanes"],
    data: UInt8[Array | np.ndarray, "groups bytes"],
    lengths: Int[Array | np.ndarray, " groups"],
    condition: Condition,
    places: Positions,
) -> tuple[Int[Array, "batch rows columns channels"], Rows, Array | np.ndarray, Array | np.ndarray]:
    """Decodes a strip of all groups: the sampler's loop, in which the coded bytes take the place of random numbers.

    Stops after the row in which a group's bytes run out.
    """
    batch, _, columns_at_most, _ = rows.last.shape
    channels, (groups, images) = stream.model.channels, places.present.shape
    height, width = jnp.minimum(places.heights.max(), STRIP), places.widths.max()
    params = stream.prepare(params) | {"inside": places.inside(columns_at_most)}
    distribution = distribution_of(stream.model, params["tables"])

    def continues(carry: Any) -> Array:
        row, _, _, (_, position) = carry
        return (row < height) & (position <= lengths).all()

    def decode_row(carry: Any) -> Any:
        row, *state = carry

        def decode(coder: Any, outputs: Array, _: Array, column: Array, colour: int) -> tuple[Array, Any]:
            numbers = distribution.read(outputs.reshape(groups, images, -1))
            present = places.hold(row, column)[:, :, 0, 0]
            values, coder = rans.decode_symbol(distribution, numbers, present, coder, data)
            if isinstance(distribution, HighByte):
                low, coder = rans.decode_symbol(*distribution.low_byte(numbers, values), present, coder, data)
                values = values << 8 | low
            return values.reshape(batch), coder

        return row + 1, *advance_row(stream, params, condition, row, state, decode, width, read=stream.read_outputs)

    pixels = jnp.zeros((batch, STRIP, columns_at_most, channels), jnp.int32)
    begun = 0, pixels, rows, (states, jnp.zeros(groups, jnp.int32))
    _, pixels, rows, (states, read) = jax.lax.while_loop(continues, decode_row, begun)
    return pixels, rows, states, read
