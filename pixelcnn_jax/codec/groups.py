"""Compression by an integer model: one parallel pass to encode, one compiled loop to decode, in groups of images.

The files can be read on any machine, by any version, in batches of any size: all probabilities are integers. Each group
can be decoded by itself.
"""

import functools
import hashlib
import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, UInt, UInt8, UInt32

from pixelcnn_jax.codec import rans
from pixelcnn_jax.codec.bounds import check_bounds
from pixelcnn_jax.codec.container import Container, filled
from pixelcnn_jax.codec.integer import IntegerPixelCNN
from pixelcnn_jax.codec.integer_layers import distribution_of, dot, inside
from pixelcnn_jax.codec.integer_stream import IntegerStream
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.models.inputs import Condition, Images, Variables, params_of
from pixelcnn_jax.models.parameters import Params

PIXELS = 2**18  # of a batch, about
ENCODED_PIXELS = 2**16  # of a part, computed together in encoding: more do not fit into the caches
BOUNDS = 2**25  # of the intervals of all levels of a part; two parts are held together
IMAGES_PER_LANE = {"softmax": 128, "mixture": 32}  # a lane takes 4 bytes

OnRow = Callable[[int], None]


def compress(
    model: IntegerPixelCNN,
    variables: Variables,
    images: Images,
    condition: Condition,
    *,
    group_size: int,
    extra: bytes,
    on_row: OnRow | None,
) -> Container:
    """Returns images as a container of groups, as about -log2 p(x | h) bits and 5 bytes per group."""
    _check(model, variables)
    count, height, width, channels = images.shape
    size = common_size(height), common_size(width)
    bounds = math.prod(size) * channels * (model.outputs + 1)  # of an image
    most = max(1, min(ENCODED_PIXELS // math.prod(size), BOUNDS // bounds))
    lanes = lanes_of(model, group_size)
    streams: list[bytes] = []
    for groups, where, present in _batches(-(-count // group_size), count, group_size, lanes, height * width):
        indices = np.split(where.ravel(), range(most, where.size, most))  # large groups in parts
        parts = (jax.tree.map(lambda x, index=index: x[index], (images, condition)) for index in indices)
        intervals = _in_pairs(lambda part: _exact_intervals(model, variables, part[0], part[1], size), parts)
        starts, frequencies = (
            np.concatenate(x)[:, :height, :width].reshape(*where.shape, -1) for x in zip(*intervals, strict=True)
        )
        frequencies = np.where(present[..., None], frequencies, np.uint32(0))
        images_in = present.sum(axis=1) * math.prod(images.shape[1:])
        coded = rans.encode(starts, frequencies, lanes=lanes, total_bits=model.total_bits)[:groups]
        streams += [filled(*each) for each in zip(coded, images_in.tolist(), strict=False)]
        _report(on_row, groups, height)
    return Container(
        model=digest_of_integers(model, variables),
        shape=images.shape,
        levels=model.levels,
        batch_size=group_size,
        lanes=lanes,
        extra=extra,
        streams=tuple(streams),
    )


def decompress(
    model: IntegerPixelCNN,
    variables: Variables,
    container: Container,
    condition: Condition,
    *,
    on_row: OnRow | None,
) -> UInt[np.ndarray, "count height width channels"]:
    """Returns the images of a container.

    Raises:
      InputError: if the container was made with a different model, variables or h, or holds no images.
    """
    if container.model != digest_of_integers(model, variables):
        raise InputError("data was compressed with a different model or weights: decompress with the same.")
    _check(model, variables)
    (count, height, width, channels), group_size, lanes = container.shape, container.batch_size, container.lanes
    if (channels, container.levels) != (model.channels, model.levels):
        raise InputError("data is damaged: it does not have the channels and levels of this model.")
    head = 4 * lanes  # bytes of the states
    longest = max(map(len, container.streams)) - head
    buffer = 1 << max(8, longest.bit_length())  # a power of two, so that few shapes are compiled
    images = np.zeros(container.shape, np.uint8 if model.levels <= 256 else np.uint16)
    batches = [*_batches(len(container.streams), count, group_size, lanes, height * width)]

    def decode(number: int) -> None:
        groups, where, present = batches[number]
        done = number * len(where)
        states, data = np.full((len(where), lanes), rans.LOW, np.uint32), np.zeros((len(where), buffer), np.uint8)
        ends = np.zeros(len(where), np.int32)
        streams = container.streams[done : done + groups]
        for row, stream in enumerate(streams):
            states[row], ends[row] = np.frombuffer(stream[:head], "<u4"), len(stream) - head
            data[row, : ends[row]] = np.frombuffer(stream[head:], np.uint8)
        given = jax.tree.map(lambda x, where=where: x[where.ravel()], condition)
        padded = common_size(height), common_size(width)
        given = given._replace(s=None if given.s is None else _padded(given.s, padded))
        coded_groups = present, states, data, ends
        result = _decode(IntegerStream(model), padded, params_of(variables), (height, width), *coded_groups, given)
        decoded, last_states, positions = (np.asarray(x) for x in result)
        decoded = decoded[:, :, :height, :width]
        ended = (states >= rans.LOW).all() and (last_states == rans.LOW).all() and (positions <= ends).all()
        coded = tuple(
            filled(stream[: head + end], int(images_in) * height * width * channels)
            for stream, images_in, end in zip(streams, present.sum(axis=1), positions, strict=False)
        )
        if not ended or coded != streams:
            raise InputError("data does not decode to images: it is damaged, or h is not what compress was given.")
        images[where[present]] = decoded[present]

    for (groups, *_), _ in zip(batches, _in_pairs(decode, range(len(batches))), strict=True):
        _report(on_row, groups, height)
    return images


def _batches(
    groups: int, count: int, group_size: int, lanes: int, pixels: int
) -> Iterator[tuple[int, Int[np.ndarray, "groups images"], Bool[np.ndarray, "groups images"]]]:
    """Yields batches of equal shape: number of groups, index of each image [groups, images], mask of real images.

    Missing groups of the last batch and missing images of a group are filled with copies of the last image.
    """
    together = max(1, min(groups, PIXELS // (pixels * group_size)))
    padded = -(-group_size // lanes) * lanes
    for first in range(0, groups, together):
        group, place = np.arange(first, first + together)[:, None], np.arange(padded)[None]
        where = group * group_size + place
        yield min(together, groups - first), np.minimum(where, count - 1), (place < group_size) & (where < count)


def _in_pairs(work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    """Yields results in order, computed two at a time: XLA uses one core for table look-ups and small products."""
    device = cast(Any, jax.config).jax_default_device  # of this thread

    def on_device(item: Any) -> Any:
        with jax.default_device(device):
            return work(item)

    with ThreadPoolExecutor(2) as pool:
        yield from pool.map(on_device, items)


def _report(on_row: OnRow | None, groups: int, height: int) -> None:
    if on_row is not None:
        for row in range(groups * height):
            on_row(row % height)


def _check(model: IntegerPixelCNN, variables: Variables) -> None:
    check_bounds(model, variables)
    if not products_are_exact():
        raise InputError(_INEXACT)


@functools.cache
def products_are_exact() -> bool:
    """Returns whether sums of products just below 2**24 come out exactly, as they do not in TF32 or bfloat16."""
    generator = np.random.default_rng(0)
    left, right = generator.integers(-511, 512, (64, 96)), generator.integers(-340, 341, (96, 64))
    result = jax.jit(dot)(left.astype(np.float32), right.astype(np.float32))
    return bool((np.asarray(result) == left @ right).all())


def digest_of_integers(model: IntegerPixelCNN, variables: Variables) -> bytes:
    """Returns a digest of a model's integers and their shapes. It does not depend on the type that stores them."""
    state = hashlib.sha256(f"{model.channels} {model.levels}".encode())
    for path, x in jax.tree_util.tree_leaves_with_path(params_of(variables)):
        state.update(f"{jax.tree_util.keystr(path)} {x.shape}".encode())
        state.update(np.ascontiguousarray(x, "<i4").tobytes())
    return state.digest()[:16]


def common_size(pixels: int) -> int:
    """Returns the padded size of a side: beyond 32 pixels, one of four per octave, so few programs are compiled."""
    step = max(1, 1 << (pixels.bit_length() - 3)) if pixels > 32 else 1
    return -(-pixels // step) * step


def lanes_of(model: IntegerPixelCNN, group_size: int) -> int:
    """Returns the number of states of a group."""
    return max(1, group_size // IMAGES_PER_LANE["mixture" if model.mixture else "softmax"])


def _padded(x: Array | np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Returns images or maps padded below and to the right."""
    return np.pad(x, ((0, 0), (0, size[0] - x.shape[1]), (0, size[1] - x.shape[2]), (0, 0)))


def _exact_intervals(
    model: IntegerPixelCNN, variables: Variables, images: Images, condition: Condition, size: tuple[int, int]
) -> tuple[Array, Array]:
    """Returns start and frequency of every sub-pixel's value, of images padded to a size.

    The first image of the first batch of each shape is computed in float64 too, and must come out the same.
    """
    width, images = images.shape[2], _padded(images, size)
    condition = condition._replace(s=None if condition.s is None else _padded(condition.s, size))
    result = _intervals(model, variables, images, condition, width)
    if (shape := (model, images.shape)) not in _tested:
        with jax.enable_x64(True):
            first = jax.tree.map(lambda x: x[:1], (images, condition))
            expected = _intervals(model, variables, *first, width, dtype="float64")
        if not all((a[:1] == b).all() for a, b in zip(result, expected, strict=True)):
            raise InputError(_INEXACT)
        _tested.add(shape)
    return result


_tested: set[tuple[IntegerPixelCNN, tuple[int, ...]]] = set()  # by this process
_INEXACT = "This machine does not compute float32 products exactly: it cannot code with integers."


@partial(jax.jit, static_argnums=0, static_argnames="dtype")
def _intervals(
    model: IntegerPixelCNN,
    variables: Variables,
    images: Images,
    condition: Condition,
    width: Array | int,
    dtype: str = "float32",
) -> tuple[Array, Array]:
    return cast(Any, model.apply(variables, images, condition, method="intervals", width=width, dtype=dtype))


@partial(jax.jit, static_argnames=("stream", "size"))
def _decode(
    stream: IntegerStream,
    size: tuple[int, int],
    params: Params,
    own_size: tuple[Array | int, Array | int],
    present: Bool[Array | np.ndarray, "groups images"],
    states: UInt32[Array | np.ndarray, "groups lanes"],
    data: UInt8[Array | np.ndarray, "groups bytes"],
    lengths: Int[Array | np.ndarray, " groups"],
    condition: Condition,
) -> tuple[Int[Array, "groups images height width channels"], Array | np.ndarray, Array | np.ndarray]:
    """Decodes all groups of a batch at once: as ``sample``, with the coder in place of the noise.

    Decoding ends after the row in which a group's bytes run out. The program is compiled for images of up to ``size``
    and leaves everything outside ``own_size`` unchanged.
    """
    (rows_at_most, columns_at_most), (height, width), channels = size, own_size, stream.model.channels
    groups, images = present.shape
    batch = groups * images
    params = stream.prepare(params) | {"inside": inside(columns_at_most, width)}
    distribution = distribution_of(stream.model, params["tables"])

    def continues(carry: Any) -> Array:
        row, _, _, (_, position) = carry
        return (row < height) & (position <= lengths).all()

    def decode_row(carry: Any) -> Any:
        row, pixels, rows, coder = carry
        s = None if condition.s is None else jax.lax.dynamic_slice_in_dim(condition.s, row, 1, axis=1)
        above, rows = stream.open_row(params, rows, condition._replace(s=s))

        def decode_pixel(column: Array, carry: Any) -> Any:
            finished, columns, known, coder = carry
            pixel = jnp.zeros((batch, 1, 1, channels), jnp.int32)
            for colour in range(channels):
                outputs, known = stream.read_outputs(params, known, pixel, colour=colour)
                numbers = distribution.read(outputs.reshape(groups, images, -1))
                values, coder = rans.decode_subpixel(distribution, numbers, present, coder, data)
                pixel = pixel.at[:, 0, 0, colour].set(values.reshape(batch))
            finished = jax.lax.dynamic_update_slice_in_dim(finished, pixel, column, axis=2)
            # The next pixel is opened here for the reason that ``sampling._sample_rows`` gives.
            columns, following = stream.close_pixel(params, columns, known, pixel), jnp.minimum(column + 1, width - 1)
            return finished, columns, stream.open_pixel(params, columns, above, following), coder

        empty = jnp.zeros((batch, 1, columns_at_most, channels), jnp.int32)
        columns = stream.first_columns(params, batch)
        begun = empty, columns, stream.open_pixel(params, columns, above, 0), coder
        finished, _, _, coder = jax.lax.fori_loop(0, width, decode_pixel, begun)
        pixels = jax.lax.dynamic_update_slice_in_dim(pixels, finished, row, axis=1)
        return row + 1, pixels, stream.close_row(params, rows, above, finished), coder

    pixels = jnp.zeros((batch, rows_at_most, columns_at_most, channels), jnp.int32)
    coder = states, jnp.zeros(groups, jnp.int32)
    _, pixels, _, (ends, positions) = jax.lax.while_loop(
        continues, decode_row, (0, pixels, stream.first_rows(params, batch, columns_at_most), coder)
    )
    return pixels.reshape(groups, images, *size, channels), ends, positions
