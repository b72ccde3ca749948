"""The PixelRNNs of 1601.06759, sections 3.1 and 3.2: Row LSTM and Diagonal BiLSTM.

Their layers have the frame of a PixelCNN's. Each turns 2h maps into the states of an LSTM with h features per gate and,
through a 1x1, into the 2h maps that it adds. The input-to-state convolution, which reads the current pixel, keeps the
colour groups in each gate. States belong to earlier pixels and are read whole. Around the image every state is the
initial one, which is learned.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from pixelcnn_jax.models.autoregressive import Network, condition_shapes
from pixelcnn_jax.models.colours import ColourMasks, mask_part, split_columns
from pixelcnn_jax.models.inputs import Condition
from pixelcnn_jax.models.layers import Dropout, condition_terms, one_by_one, rows_left, shift_down
from pixelcnn_jax.models.parameters import Bias, Kernel, Params, affine
from pixelcnn_jax.models.predecessors.residual import ResidualNetwork, convolve
from pixelcnn_jax.models.predecessors.residual_stream import ResidualStream
from pixelcnn_jax.models.products import window_product

GATES = 4  # o, f, i, g


class RowLSTM(ResidualNetwork):
    """The Row LSTM of 1601.06759, section 3.1: it reads an image row by row, from a triangle of pixels above.

    Attributes, call and parameters are those of ``residual.ResidualNetwork``. ``kernel_size`` is k,
    the number of pixels of a row, and of states of the row above, that a state reads. h and s are added to the
    input-to-state map of each layer, as in the paper's multi-scale model (section 3.6).
    """

    @nn.nowrap
    def layer_shapes(self, condition: Condition) -> Params:
        k = self.kernel_size
        return {
            "rows": lstm_shapes(self, (k // 2 + 1,), (1, k)),
            "up": affine((self.features,), (self.maps,)),
            **condition_shapes(condition, (GATES, self.features), "rows"),
        }

    @nn.nowrap
    def masked_layer(self, layer: Params, masks: ColourMasks) -> Params:
        rows = layer["rows"] | {"input": split_columns(layer["rows"]["input"], masks.down)}
        return layer | {"rows": rows, "up": mask_part(layer["up"], masks.up)}

    @nn.nowrap
    def block(self, layer: Params, x: Array, condition: Condition, drop: Dropout) -> Array:
        hidden = row_lstm(layer["rows"], x, condition_terms(layer, "rows", condition))
        return one_by_one(layer["up"], drop(hidden))

    @nn.nowrap
    def stream(self) -> Any:
        return RowLSTMStream(self)


class DiagonalBiLSTM(ResidualNetwork):
    """The Diagonal BiLSTM of 1601.06759, section 3.2: it reads an image along its diagonals, from both sides.

    Attributes, call and parameters are those of ``residual.ResidualNetwork``; ``kernel_size`` is
    not used. h and s are added to the input-to-state maps of each layer.

    A sub-pixel depends on all before it except one, unless the first convolution reaches that far: the last channel of
    the last pixel of the row above. The paper does not say so, but it follows from its two rules: no map knows the last
    channel of its own pixel, and what comes from the right is taken from the row above.
    """

    @nn.nowrap
    def layer_shapes(self, condition: Condition) -> Params:
        directions = ("from_left", "from_right")
        return {
            **{direction: lstm_shapes(self, (), (2, 1)) for direction in directions},
            "up": affine((self.features,), (self.maps,)),
            **condition_shapes(condition, (GATES, self.features), *directions),
        }

    @nn.nowrap
    def masked_layer(self, layer: Params, masks: ColourMasks) -> Params:
        from_left = layer["from_left"] | {"input": mask_part(layer["from_left"]["input"], masks.down[:, None])}
        return layer | {"from_left": from_left, "up": mask_part(layer["up"], masks.up)}

    @nn.nowrap
    def block(self, layer: Params, x: Array, condition: Condition, drop: Dropout) -> Array:
        """The LSTM from the left, the one from the right a row lower, and the 1x1.

        A state from the right knows later pixels of its own row. One row lower all of them are earlier, so that this
        LSTM may read its pixel whole.
        """
        hidden = diagonal_lstm(layer["from_left"], x, condition_terms(layer, "from_left", condition))
        terms = condition_terms(layer, "from_right", condition)
        terms = jnp.flip(terms, axis=2) if isinstance(terms, jax.Array) else terms
        from_right = diagonal_lstm(layer["from_right"], jnp.flip(x, axis=2), terms)
        return one_by_one(layer["up"], drop(hidden + shift_down(jnp.flip(from_right, axis=2))))


class State(NamedTuple):
    """The state of an LSTM at some pixels: h, which others read, and c, its memory."""

    hidden: Float[Array, "*pixels features"]
    cell: Float[Array, "*pixels features"]


def lstm_shapes(model: Network, inputs: tuple[int, ...], states: tuple[int, ...]) -> Params:
    """Returns the shapes of an LSTM that reads ``inputs`` taps of the maps and ``states`` taps of the states."""
    gates = (GATES, model.features)
    return {
        "input": affine((*inputs, model.maps), gates),
        "state": {"kernel": Kernel((*states, model.features), gates)},
        "initial": {"bias": Bias((2, model.features))},  # h and c
    }


def lstm(gates: Float[Array, "*pixels gate features"], cell: Float[Array, "*pixels features"]) -> State:
    """Returns the new state, from the sums of the gates and the previous cell (1601.06759, equation 3)."""
    out, forget, write = jnp.moveaxis(jax.nn.sigmoid(gates[..., :3, :]), -2, 0)
    cell = forget * cell + write * jnp.tanh(gates[..., 3, :])
    return State(out * jnp.tanh(cell), cell)


def initial_state(layer: Params, pixels: tuple[int, ...]) -> State:
    """Returns the learned state around the image, for each of some pixels."""
    return State(*(jnp.broadcast_to(x, (*pixels, *x.shape)) for x in layer["initial"]["bias"]))


# Row LSTM


def row_lstm(
    layer: Params,
    x: Float[Array, "batch height width maps"],
    terms: Float[Array, "#batch #height #width gate features"] | float,
) -> Float[Array, "batch height width features"]:
    """Computes the states row by row, from the masked 1 x k over the row and the 1 x k over the row above.

    ``terms`` are those of h and s. The share of the image is computed for all rows at once.
    """
    gates = convolve(layer["input"], x, rows_left(layer["input"]["left"], x)) + terms
    batch, _, width, _ = x.shape
    border = border_states(layer, batch)

    def row(above: State, gates: Float[Array, "batch width gate features"]) -> tuple[State, Array]:
        state = lstm(gates + states_above(layer, above.hidden, border)[:, 0], above.cell)
        return state, state.hidden

    _, hidden = jax.lax.scan(row, initial_state(layer, (batch, width)), jnp.moveaxis(gates, 1, 0))
    return jnp.moveaxis(hidden, 0, 1)


def border_states(layer: Params, batch: int) -> Float[Array, "batch border features"]:
    """Returns the states left and right of a row, as many as the state-to-state kernel reads."""
    return initial_state(layer, (batch, layer["state"]["kernel"].shape[1] // 2)).hidden


def states_above(
    layer: Params, hidden: Float[Array, "batch width features"], border: Float[Array, "batch border features"]
) -> Float[Array, "batch 1 width gate features"]:
    """Returns what the gates of a row read of the states of the row above."""
    window = jnp.concatenate([border, hidden, border], axis=1)[:, None]
    return window_product(window, layer["state"]["kernel"])


class RowLSTMStream(ResidualStream):
    """The ``Stream`` of a Row LSTM, whose layers remember the states of the row above."""

    def taps_left(self, layer: Params) -> Array:
        return layer["rows"]["input"]["left"]

    def border(self, layer: Params, batch: int, width: int) -> State:
        return initial_state(layer["rows"], (batch, 1, width))

    def context_from_above(self, layer: Params, memory: State, condition: Condition) -> tuple[Array, Array]:
        border = border_states(layer["rows"], len(memory.hidden))
        gates = states_above(layer["rows"], memory.hidden[:, 0], border)
        return gates + condition_terms(layer, "rows", condition), memory.cell

    def read(self, layer: Params, x: Array, above: tuple[Array, Array]) -> Array:
        return x

    def block(self, layer: Params, read: Array, above: tuple[Array, Array], left: Array) -> tuple[Array, State]:
        gates, cell = above
        state = lstm(convolve(layer["rows"]["input"], read, left) + gates, cell)
        return one_by_one(layer["up"], state.hidden), state

    def remember(self, memory: State, new: State) -> State:
        return new


# Diagonal BiLSTM


def diagonal_lstm(
    layer: Params,
    x: Float[Array, "batch height width maps"],
    terms: Float[Array, "#batch #height #width gate features"] | float,
) -> Float[Array, "batch height width features"]:
    """Computes the states diagonal by diagonal, each from its pixel and the states left of it and above it.

    ``terms`` are those of h and s. The cell that is carried on is the left one.
    """
    gates = one_by_one(layer["input"], x) + terms
    batch, height, width, *_ = gates.shape
    inside = skew(jnp.ones((1, height, width, 1), bool))
    initial = initial_state(layer, (batch, height))

    def diagonal(before: State, now: tuple[Array, Array]) -> tuple[State, Array]:
        gates, inside = now
        # On the previous diagonal, the pixel to the left lies in the same row, the one above in the row above.
        window = jnp.concatenate([initial.hidden[:, :1], before.hidden], axis=1)[:, :, None]
        state = lstm(gates + window_product(window, layer["state"]["kernel"])[:, :, 0], before.cell)
        state = jax.tree.map(lambda new, outside: jnp.where(inside, new, outside), state, initial)
        return state, state.hidden

    diagonals = (jnp.moveaxis(skew(gates), 2, 0), jnp.moveaxis(inside, 2, 0))
    _, hidden = jax.lax.scan(diagonal, initial, diagonals)
    return unskew(jnp.moveaxis(hidden, 0, 2))


def skew(x: Shaped[Array, "batch height width *features"]) -> Shaped[Array, "batch height diagonals *features"]:
    """Moves row r to the right by r columns, so that a diagonal becomes a column; zeros fill up (1601.06759, figure 3).

    There are height + width - 1 diagonals.
    """
    batch, height, width, *features = x.shape
    padded = jnp.pad(x, ((0, 0), (0, 0), (0, height), *(((0, 0),) * len(features))))
    # Read in rows that are one shorter, row r begins r columns further right.
    flat = padded.reshape(batch, height * (width + height), *features)[:, : height * (width + height - 1)]
    return flat.reshape(batch, height, width + height - 1, *features)


def unskew(x: Shaped[Array, "batch height diagonals *features"]) -> Shaped[Array, "batch height width *features"]:
    """Inverts ``skew``."""
    batch, height, diagonals, *features = x.shape
    flat = x.reshape(batch, height * diagonals, *features)
    padded = jnp.pad(flat, ((0, 0), (0, height), *(((0, 0),) * len(features))))
    return padded.reshape(batch, height, diagonals + 1, *features)[:, :, : diagonals + 1 - height]
