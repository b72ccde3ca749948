"""A network advanced by one row, one pixel, one colour: all that sampling and coding need.

Streams call the functions of training with remembered rows and columns in place of the zero border.
"""

import dataclasses
from functools import partial
from typing import Any, Protocol, cast, runtime_checkable

import flax.linen as nn
import jax
from jaxtyping import Array, Float, Int

from pixelcnn_jax.models.autoregressive import Network
from pixelcnn_jax.models.inputs import Condition
from pixelcnn_jax.models.parameters import Params


@runtime_checkable
class Stream(Protocol):
    """The steps of a network that remembers; pure functions, and hashable.

    An image is read as: ``first_rows``; for each row ``open_row``, its pixels, ``close_row``. A row is read as:
    ``first_columns``; for each pixel ``open_pixel``, ``read_colour`` for each colour, ``close_pixel``. The trees that
    pass between the steps are the stream's own.
    """

    @property
    def model(self) -> Network:
        """The network."""

    def prepare(self, params: Params) -> Params:
        """Returns the parameters as the other steps read them."""

    def first_rows(self, params: Params, batch: int, width: int) -> Any:
        """Returns the memory of the rows above the image."""

    def open_row(self, params: Params, rows: Any, condition: Condition) -> tuple[Any, Any]:
        """Returns what every layer sees from above in the next row, and the memory; ``condition.s`` is that row's."""

    def close_row(self, params: Params, rows: Any, above: Any, row: Int[Array, "batch 1 width channels"]) -> Any:
        """Returns the memory with a finished row."""

    def first_columns(self, params: Params, batch: int) -> Any:
        """Returns the memory of the columns left of the image."""

    def open_pixel(self, params: Params, columns: Any, above: Any, column: Int[Array, ""] | int) -> Any:
        """Returns what every layer knows at a pixel from above and from the left."""

    def read_colour(
        self, params: Params, known: Any, pixel: Int[Array, "batch 1 1 channels"], *, colour: int
    ) -> tuple[Float[Array, "batch levels"], Any]:
        """Returns the logits of a colour, given those before it in ``pixel``, and what is known by then."""

    def close_pixel(self, params: Params, columns: Any, known: Any, pixel: Int[Array, "batch 1 1 channels"]) -> Any:
        """Returns the memory with a finished pixel; the oldest column is dropped."""


@partial(jax.jit, static_argnames=("stream", "batch", "width"))
def begin(stream: Stream, params: Params, batch: int, width: int) -> tuple[Params, Any, Any]:
    """Returns the parameters as the steps read them, and the memory of the rows above and of the columns left."""
    params = stream.prepare(params)
    return params, stream.first_rows(params, batch, width), stream.first_columns(params, batch)


def stream_of(model: nn.Module) -> Stream | None:
    """Returns the stream of a model, or None if it has none: the whole network is then run again for a sub-pixel.

    A method ``stream`` returns it. One that is inherited is not asked if a class after it overrides anything else that
    is inherited, such as ``forward``: its stream would draw from the network of the parent.
    """
    classes, fields = type(model).__mro__, {one.name for one in dataclasses.fields(model)}

    def methods(kind: type) -> set[str]:
        return {name for name, x in vars(kind).items() if callable(x) or isinstance(x, property)} - fields

    owner = next((one for one in classes if "stream" in methods(one)), None)
    if owner is None:
        return None
    later = set().union(*map(methods, classes[: classes.index(owner)]))
    changed = {name for name in later if hasattr(owner, name) and (name == "__call__" or not name.startswith("__"))}
    return None if changed else cast(Any, model).stream()
