"""Networks advanced by one row, pixel or colour, for sampling and coding."""

from typing import Any, Protocol, cast, runtime_checkable

import flax.linen as nn
from jaxtyping import Array, Float, Int

from pixelcnn_jax.models.autoregressive import Network
from pixelcnn_jax.models.inputs import Condition
from pixelcnn_jax.models.parameters import Params


@runtime_checkable
class Stream(Protocol):
    """Steps that advance a network by rows, pixels and colours; pure and hashable."""

    @property
    def model(self) -> Network:
        """The network."""

    def prepare(self, params: Params) -> Params:
        """Rearranges parameters for the other steps."""

    def first_rows(self, params: Params, batch: int, width: int) -> Any:
        """Builds the memory above an image."""

    def open_row(self, params: Params, rows: Any, condition: Condition) -> tuple[Any, Any]:
        """Computes the context from above; ``condition.s`` has one row."""

    def close_row(self, params: Params, rows: Any, above: Any, row: Int[Array, "batch 1 width channels"]) -> Any:
        """Appends a finished row to the memory."""

    def first_columns(self, params: Params, batch: int) -> Any:
        """Builds the memory left of an image."""

    def open_pixel(self, params: Params, columns: Any, above: Any, column: Int[Array, ""] | int) -> Any:
        """Computes the context of a pixel, with the same shapes at every pixel."""

    def read_colour(
        self, params: Params, state: Any, pixel: Int[Array, "batch 1 1 channels"], *, colour: int
    ) -> tuple[Float[Array, "batch levels"], Any]:
        """Computes the logits of a colour from the earlier ones in ``pixel``."""

    def close_pixel(self, params: Params, columns: Any, state: Any, pixel: Int[Array, "batch 1 1 channels"]) -> Any:
        """Appends a finished pixel to the memory and drops the oldest."""


def stream_of(model: nn.Module) -> Stream | None:
    """Builds the stream of a model; None if it has none."""
    return cast(Any, model).stream() if hasattr(model, "stream") else None
