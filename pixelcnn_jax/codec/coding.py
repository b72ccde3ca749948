"""Lossless compression of images with a model, through constriction's range coder.

A range coder needs the same probabilities, to the last bit, where it writes and where it reads. So one function,
``_tables``, computes them sub-pixel by sub-pixel; ``compress`` hands it the images' values, ``decompress`` the coder's.
What could change a bit of them is in the header, and a digest of the pixels tells of the rest, such as a processor that
rounds in another order.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Generator
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import jaxlib
import numpy as np
from jaxtyping import Array, Float, Int, UInt

from pixelcnn_jax.codec.container import MAX_ROW, MAX_SUBPIXELS, Container, check_bounds, digest, pack, unpack
from pixelcnn_jax.errors import InputError
from pixelcnn_jax.models.autoregressive import Network
from pixelcnn_jax.models.inputs import (
    Condition,
    Images,
    Map,
    Vector,
    apply,
    check_condition,
    check_finite,
    check_images,
    check_values,
    params_of,
)
from pixelcnn_jax.models.parameters import Params
from pixelcnn_jax.models.streaming import Stream, stream_of

MAX_LOGITS = 2**28  # of a module that is run again as a whole

OnRow = Callable[[int], None]
Index = tuple[slice, int, int, int]  # images, row, column, colour
Table = Float[np.ndarray, "batch levels"]
Values = Int[np.ndarray, " batch"]


def compress(
    model: nn.Module,
    variables: Params,
    images: Images,
    *,
    h: Vector | None = None,
    s: Map | None = None,
    batch_size: int = 256,
    verify: bool = True,
    extra: bytes = b"",
    on_row: OnRow | None = None,
) -> bytes:
    """Images as bytes, about as many as the model's likelihood says: -log2 p(x | h, s) bits and some 120 bytes.

    Args:
      model: a model of this package, or any module that maps images to logits (then re-run for every sub-pixel).
      variables: its variables, which the decoder must have too.
      images: integers 0 to ``model.levels - 1``, [count, height, width, channels].
      h: the vector of each image, for a model made with one; the decoder must have it too.
      s: the map of each image, for a model made with one; the decoder must have it too.
      batch_size: images computed at once, fewer where there are fewer; it is part of the format.
      verify: decode what was written and compare, before it is returned.
      extra: bytes of yours to keep in the container, such as names.
      on_row: called after each row of a batch, with its index, for a progress bar: in writing and in verifying.

    Raises InputError for what does not fit the model or the bounds of the format (2**28 sub-pixels), and where
    constriction is not installed.
    """
    check_images(images, channels=model.channels, levels=model.levels)
    images = np.asarray(images)
    check_values(images, model.levels)
    condition = _check(model, variables, Condition(h, s), images.shape)
    count, _, width, _ = images.shape
    batch_size = min(batch_size, count, max(1, MAX_ROW // max(1, width)))
    check_bounds(images.shape, batch_size)
    _check_memory(model, images.shape, batch_size)
    coder, family = _constriction()
    encoder = coder.RangeEncoder()

    def encode(table: Table, index: Index) -> Values:
        values = images[index].astype(np.int32)
        encoder.encode(values, family, table)
        return values

    _code(model, variables, images.shape, condition, batch_size, encode, on_row)
    container = Container(
        **_facts(model, variables, condition),
        pixels=_digest_pixels(images),
        shape=images.shape,
        levels=model.levels,
        batch_size=batch_size,
        extra=extra,
        words=encoder.get_compressed().astype("<u4").tobytes(),
    )
    data = pack(container)
    if verify:  # raises where the pixels' digest does not match
        decompress(model, variables, data, h=h, s=s, on_row=on_row)
    return data


def decompress(
    model: nn.Module,
    variables: Params,
    data: bytes,
    *,
    h: Vector | None = None,
    s: Map | None = None,
    max_subpixels: int = MAX_SUBPIXELS,
    on_row: OnRow | None = None,
) -> UInt[np.ndarray, "count height width channels"]:
    """The images that ``compress`` made ``data`` of, to the last bit, in 8 bits a sub-pixel or, if needed, 16.

    Takes the model, the variables, h and s of ``compress``, and ``max_subpixels``, above which it takes neither memory
    nor time.
    Raises InputError for bytes that are damaged, for another model, other weights, another version of jax or another
    platform, and where the images that come out are not those that went in; it never returns those.
    """
    container = unpack(bytes(data))
    check_bounds(container.shape, container.batch_size, most=max_subpixels)
    _check_memory(model, container.shape, container.batch_size)
    condition = _check(model, variables, Condition(h, s), container.shape)
    _check_facts(container, _facts(model, variables, condition))
    if (container.shape[-1], container.levels) != (model.channels, model.levels):
        raise InputError("The compressed images are damaged: they are not of this model's channels and levels.")
    coder, family = _constriction()
    decoder = coder.RangeDecoder(np.frombuffer(container.words, "<u4").astype(np.uint32))
    images = np.zeros(container.shape, np.uint8 if container.levels <= 256 else np.uint16)

    def decode(table: Table, index: Index) -> Values:
        try:
            values = decoder.decode(family, table)
        except (AssertionError, ValueError) as error:
            raise InputError(_OTHERWISE) from error
        images[index] = values
        return values

    _code(model, variables, container.shape, condition, container.batch_size, decode, on_row)
    if _digest_pixels(images) != container.pixels:
        raise InputError(_OTHERWISE)
    return images


_OTHERWISE = (
    "What comes out is not what was compressed: this machine computes other probabilities, though its software is the "
    "same. Decompress on the kind of machine that compressed."
)


# The probabilities


def _code(
    model: nn.Module,
    variables: Params,
    shape: tuple[int, ...],
    condition: Condition,
    batch_size: int,
    code: Callable[[Table, Index], Values],
    on_row: OnRow | None,
) -> None:
    """Hands the probabilities of every sub-pixel to ``code``, and the values that it returns to the network."""
    count, height, width, channels = shape
    for start in range(0, count, batch_size):
        size = min(batch_size, count - start)
        # A smaller last batch would be rounded in another way: it is filled up, with zeros for images.
        rows = start + np.minimum(np.arange(batch_size), size - 1)
        here = Condition(*(None if x is None else jnp.asarray(x)[rows] for x in condition))
        tables = _tables(model, variables, (batch_size, height, width), here)
        values: Values | None = None
        for row in range(height):
            for column, colour in np.ndindex(width, channels):
                table = tables.send(values)[:size]
                if not np.isfinite(table).all():
                    raise InputError("The probabilities of this model are not finite: its weights cannot code.")
                values = np.zeros(batch_size, np.int32)
                values[:size] = code(table, (slice(start, start + size), row, column, colour))
            if on_row is not None:
                on_row(row)


def _tables(
    model: nn.Module, variables: Params, shape: tuple[int, int, int], condition: Condition
) -> Generator[Table, Values | None, None]:
    """The probabilities of each sub-pixel of a batch, in raster order; is sent the values of a sub-pixel for the next.

    The one function of encoder and decoder.
    """
    steps = stream_of(model)
    if steps is None:
        return _tables_by_running_again(model, variables, shape, condition)
    return _tables_by_remembering(model, steps, params_of(variables), shape, condition)


def _tables_by_remembering(
    model: nn.Module, steps: Stream, params: Params, shape: tuple[int, int, int], condition: Condition
) -> Generator[Table, Values | None, None]:
    batch, height, width = shape
    params, rows, no_columns = _begin(model, steps, params, batch, width)
    above = np.zeros((batch, 1, width, model.channels), np.int32)
    for row in range(height):
        here = condition._replace(s=None if condition.s is None else condition.s[:, row : row + 1])
        crossings, rows = _read_row(model, steps, params, rows, above, row > 0, here)
        columns, finished = no_columns, []
        for column in range(width):
            known = _open_pixel(model, steps, params, columns, crossings, column)
            pixel = np.zeros((batch, 1, 1, model.channels), np.int32)
            for colour in range(model.channels):
                table, known = _read_colour(model, steps, params, known, pixel, colour=colour)
                values = yield np.asarray(table)
                pixel = pixel.copy()  # JAX may still look at the one that it was given
                pixel[:, 0, 0, colour] = values
            columns = _close_pixel(model, steps, params, columns, known, pixel)
            finished.append(pixel)
        above = np.concatenate(finished, axis=2)


def _tables_by_running_again(
    model: nn.Module, variables: Params, shape: tuple[int, int, int], condition: Condition
) -> Generator[Table, Values | None, None]:
    images = np.zeros((*shape, model.channels), np.int32)
    for index in np.ndindex(images.shape[1:]):
        table = _run_again(model, variables, images, condition, *index)
        values = yield np.asarray(table)
        images = images.copy()
        images[:, *index] = values


@partial(jax.jit, static_argnames=("model", "steps", "batch", "width"))
def _begin(model: nn.Module, steps: Stream, params: Params, batch: int, width: int) -> tuple[Params, Any, Any]:
    params = steps.prepare(model, params)
    return params, steps.first_row(model, params, batch, width), steps.first_column(model, params, batch)


@partial(jax.jit, static_argnames=("model", "steps"))
def _read_row(model: nn.Module, steps: Stream, *args: Any) -> tuple[Any, Any]:
    return steps.read_row(model, *args)


@partial(jax.jit, static_argnames=("model", "steps"))
def _open_pixel(model: nn.Module, steps: Stream, *args: Any) -> Any:
    return steps.open_pixel(model, *args)


@partial(jax.jit, static_argnames=("model", "steps", "colour"))
def _read_colour(model: nn.Module, steps: Stream, *args: Any, colour: int) -> tuple[Array, Any]:
    logits, known = steps.read_colour(model, *args, colour=colour)
    return jax.nn.softmax(logits), known


@partial(jax.jit, static_argnames=("model", "steps"))
def _close_pixel(model: nn.Module, steps: Stream, *args: Any) -> Any:
    return steps.close_pixel(model, *args)


@partial(jax.jit, static_argnames="model")
def _run_again(
    model: nn.Module, variables: Params, images: Array | np.ndarray, condition: Condition, *index: Array | int
) -> Array:
    return jax.nn.softmax(apply(model, variables, images, condition)[:, *index].astype(jnp.float32))


# What must be the same where images are compressed and where they are decompressed


def _check(model: nn.Module, variables: Params, condition: Condition, shape: tuple[int, ...]) -> Condition:
    if isinstance(model, Network):  # any other module says itself what it is told
        check_condition(params_of(variables), condition, shape)
    check_finite(condition)
    if not 2 <= model.levels <= 2**16:
        raise InputError(f"The format holds sub-pixels of 2 to {2**16} levels, not {model.levels}.")
    return jax.tree.map(jnp.asarray, condition)


def _check_memory(model: nn.Module, shape: tuple[int, ...], batch_size: int) -> None:
    """Raises InputError where a module that is run again as a whole would make too many logits at once."""
    logits = batch_size * math.prod(shape[1:]) * model.levels * max(1, getattr(model, "mixture", 0))
    if stream_of(model) is None and logits > MAX_LOGITS:
        raise InputError(f"{logits} logits at once are too many (at most {MAX_LOGITS}): lower batch_size.")


def _facts(model: nn.Module, variables: Params, condition: Condition) -> dict[str, Any]:
    return {
        "model": _digest_model(model),
        "weights": _digest_arrays(variables),
        "condition": _digest_arrays(condition),
        "dtype": np.dtype(getattr(model, "dtype", np.float32)).name,
        "jax": jax.__version__,
        "jaxlib": jaxlib.__version__,
        "platform": jax.default_backend(),
    }


def _check_facts(container: Container, mine: dict[str, Any]) -> None:
    """Raises InputError for the first thing that is not as it was in ``compress``."""
    for name, ours in mine.items():
        theirs = getattr(container, name)
        if theirs == ours:
            continue
        if isinstance(theirs, bytes):
            raise InputError(f"The images were compressed with {_NAMES[name]}; decompress with the same.")
        raise InputError(f"The images were compressed with {name} {theirs}, but this is {name} {ours}.")


_NAMES = {"model": "another model", "weights": "other weights", "condition": "another h or s"}


def _digest_model(model: nn.Module) -> bytes:
    """Of its class and hyperparameters, but for dropout and remat, which only training reads, and for no mixture."""
    skipped = ("parent", "name", "dropout", "remat", *(() if getattr(model, "mixture", 0) else ("mixture",)))
    fields = {field.name: getattr(model, field.name) for field in dataclasses.fields(model) if field.init}
    described = [
        f"{name}={np.dtype(value).name if name == 'dtype' else value!r}"
        for name, value in sorted(fields.items())
        if name not in skipped
    ]
    # Where a function lies in memory is another in every process.
    return digest(re.sub(r" at 0x[0-9a-f]+", "", f"{type(model).__name__}({', '.join(described)})").encode())


def _digest_arrays(tree: Any) -> bytes:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    parts: list[bytes] = []
    for path, leaf in leaves:
        array = np.asarray(jnp.asarray(leaf))  # as the model will see it: NumPy's float64 is float32 there
        described = f"{jax.tree_util.keystr(path)} {array.dtype.name} {array.shape}"
        parts += [described.encode(), np.ascontiguousarray(array).tobytes()]
    return digest(*parts)


def _digest_pixels(images: np.ndarray) -> bytes:
    return digest(*(np.ascontiguousarray(image, "<u2").tobytes() for image in images))


def _constriction() -> tuple[Any, Any]:
    """The range coder, and the family of distributions that it codes with."""
    try:
        import constriction
    except ImportError:
        raise InputError("Compression needs constriction: pip install 'pixelcnn-jax[codec]'.") from None
    return constriction.stream.queue, constriction.stream.model.Categorical(perfect=False)
