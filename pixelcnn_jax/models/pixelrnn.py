"""The PixelRNNs of 1601.06759, sections 3.1 and 3.2: Row LSTM and Diagonal BiLSTM.

Their layers lie in the same ``residual_network`` as a PixelCNN's: each turns 2h maps into the states of an LSTM with h
features a gate, and these, through a 1x1, into the 2h maps that it adds. What an LSTM reads of the current pixel, the
input-to-state convolution, keeps the colour groups in each gate; the states that it reads are of earlier pixels, and so
it may read them whole. Around the image all states are the initial one, which is learned.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key, Shaped

from pixelcnn_jax.models.autoregressive import Network, mask_kernel
from pixelcnn_jax.models.inputs import Condition
from pixelcnn_jax.models.layers import Dropout, add_bias, columns_left, condition_terms, shift_down, window_product
from pixelcnn_jax.models.parameters import Bias, Kernel, Params
from pixelcnn_jax.models.pixelcnn import Block, ColourMasks, left_of, one_by_one, residual_network, residual_shapes

GATES = 4  # o, f, i, g


class RowLSTM(Network):
    """The Row LSTM of 1601.06759, section 3.1: it reads an image row by row, from a triangle of pixels above.

    Its attributes, and how it is called, are those of ``Network``; ``kernel_size`` is k, how many pixels of a row, and
    states of the row above, a state is made of. The parameters are named as a PixelCNN's. h and s are added to the
    input-to-state map of each layer, as the paper does in its multi-scale model (section 3.6).
    """

    @nn.nowrap
    def parameter_shapes(self, condition: Condition) -> Params:
        layer = row_shapes(self, condition)
        return residual_shapes(self, layer | up_shapes(self))

    @nn.nowrap
    def forward(
        self, params: Params, inputs: Array, condition: Condition, *, dropout_key: Array | None = None
    ) -> Array:
        return forward(self, params, inputs, condition, dropout_key=dropout_key)


class DiagonalBiLSTM(Network):
    """The Diagonal BiLSTM of 1601.06759, section 3.2: it reads an image along its diagonals, from both sides.

    Its attributes, and how it is called, are those of ``Network``, though it has no use for ``kernel_size``. The
    parameters are named as a PixelCNN's. h and s are added to the input-to-state maps of each layer.

    A sub-pixel depends on all before it but, unless the first convolution reaches that far, one: the last channel of
    the last pixel of the row above. The paper does not say so, but it follows from its two rules: no map knows the last
    channel of the pixel that it lies at, and what comes from the right is taken from the row above.
    """

    @nn.nowrap
    def parameter_shapes(self, condition: Condition) -> Params:
        layer = diagonal_shapes(self, condition)
        return residual_shapes(self, layer | up_shapes(self))

    @nn.nowrap
    def forward(
        self, params: Params, inputs: Array, condition: Condition, *, dropout_key: Array | None = None
    ) -> Array:
        return forward(self, params, inputs, condition, dropout_key=dropout_key)


def forward(
    model: RowLSTM | DiagonalBiLSTM,
    params: Params,
    inputs: Float[Array, "batch height width inputs"],
    condition: Condition,
    *,
    dropout_key: Key[Array, ""] | None = None,
) -> Float[Array, "batch height width channels outputs"]:
    """The network over whole images, from what ``encode`` made of them."""
    block: Block = row_block if isinstance(model, RowLSTM) else diagonal_block
    return residual_network(model, params, inputs, condition, block, dropout_key=dropout_key)


class State(NamedTuple):
    """Of an LSTM at some pixels: h, which others read, and c, its memory."""

    hidden: Float[Array, "*pixels features"]
    cell: Float[Array, "*pixels features"]


def up_shapes(model: Network) -> Params:
    """The shapes of the 1x1 from an LSTM's features to the maps."""
    features, maps = model.features, 2 * model.features
    return {"up": {"kernel": Kernel((features,), (maps,)), "bias": Bias((maps,))}}


def lstm_shapes(model: Network, inputs: tuple[int, ...], states: tuple[int, ...]) -> Params:
    """The shapes of an LSTM that reads so many taps of maps, and so many of states."""
    features = model.features
    gates = (GATES, features)
    return {
        "input": {"kernel": Kernel((*inputs, 2 * features), gates), "bias": Bias(gates)},
        "state": {"kernel": Kernel((*states, features), gates)},
        "initial": {"bias": Bias((2, features))},  # of h and of c
    }


def condition_shapes(model: Network, condition: Condition, *directions: str) -> Params:
    """The shapes of V h and V s for the input-to-state map of each direction."""
    given = {name: value.shape[-1] for name, value in condition._asdict().items() if value is not None}
    gates = (GATES, model.features)
    return {f"{direction}_{name}": Kernel((size,), gates) for direction in directions for name, size in given.items()}


def lstm(gates: Float[Array, "*pixels gate features"], cell: Float[Array, "*pixels features"]) -> State:
    """The new state from the sums of the gates and the cell before (1601.06759, equation 3)."""
    out, forget, write = jnp.moveaxis(jax.nn.sigmoid(gates[..., :3, :]), -2, 0)
    cell = forget * cell + write * jnp.tanh(gates[..., 3, :])
    return State(out * jnp.tanh(cell), cell)


# Row LSTM


def row_shapes(model: RowLSTM, condition: Condition) -> Params:
    """The shapes of a layer's LSTM: input-to-state over the pixel and those left of it, state-to-state over the row."""
    k = model.kernel_size
    lstm = lstm_shapes(model, (k // 2 + 1,), (1, k))
    return {"rows": lstm, **condition_shapes(model, condition, "rows")}


def row_block(
    layer: Params,
    x: Float[Array, "batch height width maps"],
    condition: Condition,
    *,
    masks: ColourMasks,
    drop: Dropout,
) -> Float[Array, "batch height width maps"]:
    """What a Row LSTM layer adds: its LSTM and the 1x1."""
    hidden = row_lstm(layer["rows"], x, condition_terms(layer, "rows", condition), mask=masks.down)
    return one_by_one(layer["up"], drop(hidden), mask=masks.up)


def row_lstm(
    layer: Params,
    x: Float[Array, "batch height width maps"],
    terms: Float[Array, "#batch #height #width gate features"] | float,
    *,
    mask: Bool[np.ndarray, "maps features"],
) -> Float[Array, "batch height width features"]:
    """A row of states at a time, each from the masked 1 x k over its own row and the whole 1 x k over the row above.

    ``terms`` are those of h and s. What comes from the image is computed for all rows at once.
    """
    kernel = layer["input"]["kernel"]
    left = columns_left(kernel[:-1], left_of(x, len(kernel) - 1))
    gates = left + jnp.tensordot(x, mask_kernel(kernel[-1], mask[:, None]), axes=1)
    gates = add_bias(gates, layer["input"]["bias"]) + terms
    batch, _, width, *_ = gates.shape
    reach = layer["state"]["kernel"].shape[1] // 2
    border = initial_state(layer, (batch, reach)).hidden

    def row(above: State, gates: Float[Array, "batch width gate features"]) -> tuple[State, Array]:
        window = jnp.concatenate([border, above.hidden, border], axis=1)[:, None]
        state = lstm(gates + window_product(window, layer["state"]["kernel"])[:, 0], above.cell)
        return state, state.hidden

    _, hidden = jax.lax.scan(row, initial_state(layer, (batch, width)), jnp.moveaxis(gates, 1, 0))
    return jnp.moveaxis(hidden, 0, 1)


def initial_state(layer: Params, pixels: tuple[int, ...]) -> State:
    """The learned state that an LSTM finds around the image, for so many pixels."""
    return State(*(jnp.broadcast_to(x, (*pixels, *x.shape)) for x in layer["initial"]["bias"]))


# Diagonal BiLSTM


def diagonal_shapes(model: DiagonalBiLSTM, condition: Condition) -> Params:
    """The shapes of a layer's two LSTMs: input-to-state over the pixel, state-to-state over two neighbours."""
    directions = ("from_left", "from_right")
    lstms = {direction: lstm_shapes(model, (), (2, 1)) for direction in directions}
    return lstms | condition_shapes(model, condition, *directions)


def diagonal_block(
    layer: Params,
    x: Float[Array, "batch height width maps"],
    condition: Condition,
    *,
    masks: ColourMasks,
    drop: Dropout,
) -> Float[Array, "batch height width maps"]:
    """What a Diagonal BiLSTM layer adds: its LSTM from the left, the one from the right a row lower, and the 1x1.

    From the right a state knows pixels of its own row that come later; a row lower they have all come before, and so
    that LSTM may read its pixel whole.
    """
    hidden = diagonal_lstm(layer["from_left"], x, condition_terms(layer, "from_left", condition), mask=masks.down)
    from_right = diagonal_lstm(
        layer["from_right"],
        jnp.flip(x, axis=2),
        _mirrored(condition_terms(layer, "from_right", condition)),
        mask=np.ones_like(masks.down),
    )
    hidden = hidden + shift_down(jnp.flip(from_right, axis=2))
    return one_by_one(layer["up"], drop(hidden), mask=masks.up)


def _mirrored(terms: Array | float) -> Array | float:
    return jnp.flip(terms, axis=2) if isinstance(terms, jax.Array) else terms


def diagonal_lstm(
    layer: Params,
    x: Float[Array, "batch height width maps"],
    terms: Float[Array, "#batch #height #width gate features"] | float,
    *,
    mask: Bool[np.ndarray, "maps features"],
) -> Float[Array, "batch height width features"]:
    """A diagonal of states at a time, each from its pixel and the states left of it and above it.

    ``terms`` are those of h and s. The cell that goes on is the one from the left.
    """
    gates = jnp.tensordot(x, mask_kernel(layer["input"]["kernel"], mask[:, None]), axes=1)
    gates = add_bias(gates, layer["input"]["bias"]) + terms
    batch, height, width, *_ = gates.shape
    inside = skew(jnp.ones((1, height, width, 1), bool))
    initial = initial_state(layer, (batch, height))

    def diagonal(before: State, now: tuple[Array, Array]) -> tuple[State, Array]:
        gates, inside = now
        # In the diagonal before, the pixel to the left lies in the same row, the one above in the row above.
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
    # In rows that are one shorter, row r begins r further right.
    flat = padded.reshape(batch, height * (width + height), *features)[:, : height * (width + height - 1)]
    return flat.reshape(batch, height, width + height - 1, *features)


def unskew(x: Shaped[Array, "batch height diagonals *features"]) -> Shaped[Array, "batch height width *features"]:
    """Undoes ``skew``."""
    batch, height, diagonals, *features = x.shape
    flat = x.reshape(batch, height * diagonals, *features)
    padded = jnp.pad(flat, ((0, 0), (0, height), *(((0, 0),) * len(features))))
    return padded.reshape(batch, height, diagonals + 1, *features)[:, :, : diagonals + 1 - height]
