"""PixelRNNs of 1601.06759 (sections 3.1 and 3.2): Row LSTM and Diagonal BiLSTM."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped

from pixelcnn_jax.foundation.devices import varying_as
from pixelcnn_jax.models.autoregressive import Network, condition_shapes
from pixelcnn_jax.models.colours import ColourMasks, mask_part, split_columns
from pixelcnn_jax.models.inputs import Condition
from pixelcnn_jax.models.layers import Dropout, Features, condition_terms, horizontal_conv, one_by_one, shift_down
from pixelcnn_jax.models.parameters import Kernel, Params, affine, bias
from pixelcnn_jax.models.predecessors.residual import ResidualNetwork, convolve
from pixelcnn_jax.models.predecessors.residual_stream import ResidualStream
from pixelcnn_jax.models.products import window_product

GATES = 4  # o, f, i, g
Gates = Float[Array, "batch height width gate features"]
DIRECTIONS = ("from_left", "from_right")  # of the Diagonal BiLSTM


class RowLSTM(ResidualNetwork):
    """The Row LSTM of van den Oord et al. 2016 (1601.06759, section 3.1): an LSTM from the top row to the bottom row.

    It is called, conditioned, sampled and trained as ``GatedPixelCNN`` is; the conditions h and s enter the
    input-to-state convolution of each layer (section 3.6).

    Attributes:
      levels: Number of intensity levels of a sub-pixel, 2 to 65,536; images hold the integers 0 to ``levels - 1``.
      channels: Number of channels of a pixel, which are predicted one after the other, 1 for grey and 3 for RGB.
      features: Number of feature maps of the LSTM, h in the paper (not the condition). Between layers there are twice
        as many.
      layers: Number of layers after the first.
      kernel_size: Size k of both 1 x k convolutions, odd and at least 3.
      first_kernel_size: Size of the filters of the first layer, odd and at least 3. That layer excludes the current
        sub-pixel (mask A) and is not counted in ``layers``.
      head_features: Number of channels between the two 1x1 convolutions of the head. None means ``features``.
      dropout: Fraction of units that training sets to zero, from 0 to 0.99. A rate above 0 is rounded to a positive
        multiple of 1/256.
      code_features: Size of a learned embedding of each level, for the codes of a VQ-VAE, whose order means nothing; 0
        reads intensities.
      mixture: Number of discretised logistic distributions whose mixture is the prediction (PixelCNN++, 1701.05517).
        Use it for many levels. 0 predicts a softmax over the levels.
      point_masses: Whether the mixture has two additional point masses, at the lowest and at the highest level, for
        images with plain black or white areas.
      dtype: Type of the operands of matrix products, "float32" (the default), "bfloat16", "float16" or "float64".
        Logits are float32 at least. Without ``code_features``, a network can distinguish about 513 levels in
        bfloat16, and 4,097 in float16.
      remat: Whether the backward pass recomputes the layers, for less memory and more time.

    Example:
      >>> import jax
      >>> from pixelcnn_jax import RowLSTM, log_prob
      >>> images = jax.random.randint(jax.random.key(0), (2, 8, 8, 1), 0, 4)
      >>> model = RowLSTM(levels=4, features=8, layers=2)
      >>> variables = model.init(jax.random.key(1), images)
      >>> model.apply(variables, images).shape
      (2, 8, 8, 1, 4)
      >>> log_prob(model, variables, images).shape
      (2,)
    """

    @nn.nowrap
    def layer_shapes(self, condition: Condition) -> Params:
        k = self.kernel_size
        return {
            "rows": lstm_shapes(self, (k // 2 + 1,), (1, k)),
            "up": affine((self.features,), (self.residual_features,)),
            **condition_shapes(condition, (GATES, self.features), "rows"),
        }

    @nn.nowrap
    def masked_layer(self, layer: Params, masks: ColourMasks) -> Params:
        rows = layer["rows"] | {"input": split_columns(layer["rows"]["input"], masks.down)}
        return layer | {"rows": rows, "up": mask_part(layer["up"], masks.up)}

    @nn.nowrap
    def block(self, layer: Params, x: Array, condition: Condition, drop: Dropout) -> Array:
        gates = convolve(layer["rows"]["input"], x, horizontal_conv(layer["rows"]["input"]["left"], x))
        hidden = row_lstm(layer["rows"], gates + condition_terms(layer, "rows", condition))
        return one_by_one(layer["up"], drop(hidden))

    @nn.nowrap
    def stream(self) -> Any:
        return RowLSTMStream(self)


class DiagonalBiLSTM(ResidualNetwork):
    """The Diagonal BiLSTM of van den Oord et al. 2016 (1601.06759, section 3.2): two LSTMs along the diagonals.

    In most places, it does not see one earlier sub-pixel: the last channel of the rightmost pixel of the row above. It
    sees this sub-pixel only where the first convolution reaches that pixel. This gap is part of the paper's definition.
    The network is called, conditioned and trained as ``GatedPixelCNN`` is; the conditions h and s enter the
    input-to-state convolutions. It has no cache, so that sampling reruns the network for each sub-pixel.

    Attributes:
      levels: Number of intensity levels of a sub-pixel, 2 to 65,536; images hold the integers 0 to ``levels - 1``.
      channels: Number of channels of a pixel, which are predicted one after the other, 1 for grey and 3 for RGB.
      features: Number of feature maps of each LSTM, h in the paper (not the condition). Between layers there are twice
        as many.
      layers: Number of layers after the first.
      kernel_size: Not used.
      first_kernel_size: Size of the filters of the first layer, odd and at least 3. That layer excludes the current
        sub-pixel (mask A) and is not counted in ``layers``.
      head_features: Number of channels between the two 1x1 convolutions of the head. None means ``features``.
      dropout: Fraction of units that training sets to zero, from 0 to 0.99. A rate above 0 is rounded to a positive
        multiple of 1/256.
      code_features: Size of a learned embedding of each level, for the codes of a VQ-VAE, whose order means nothing; 0
        reads intensities.
      mixture: Number of discretised logistic distributions whose mixture is the prediction (PixelCNN++, 1701.05517).
        Use it for many levels. 0 predicts a softmax over the levels.
      point_masses: Whether the mixture has two additional point masses, at the lowest and at the highest level, for
        images with plain black or white areas.
      dtype: Type of the operands of matrix products, "float32" (the default), "bfloat16", "float16" or "float64".
        Logits are float32 at least. Without ``code_features``, a network can distinguish about 513 levels in
        bfloat16, and 4,097 in float16.
      remat: Whether the backward pass recomputes the layers, for less memory and more time.

    Example:
      >>> import jax
      >>> from pixelcnn_jax import DiagonalBiLSTM, log_prob
      >>> images = jax.random.randint(jax.random.key(0), (2, 8, 8, 1), 0, 4)
      >>> model = DiagonalBiLSTM(levels=4, features=8, layers=2)
      >>> variables = model.init(jax.random.key(1), images)
      >>> model.apply(variables, images).shape
      (2, 8, 8, 1, 4)
      >>> log_prob(model, variables, images).shape
      (2,)
    """

    @nn.nowrap
    def layer_shapes(self, condition: Condition) -> Params:
        return {
            **{direction: lstm_shapes(self, (), (2, 1)) for direction in DIRECTIONS},
            "up": affine((self.features,), (self.residual_features,)),
            **condition_shapes(condition, (GATES, self.features), *DIRECTIONS),
        }

    @nn.nowrap
    def masked_layer(self, layer: Params, masks: ColourMasks) -> Params:
        from_left = layer["from_left"] | {"input": mask_part(layer["from_left"]["input"], masks.down[:, None])}
        return layer | {"from_left": from_left, "up": mask_part(layer["up"], masks.up)}

    @nn.nowrap
    def block(self, layer: Params, x: Array, condition: Condition, drop: Dropout) -> Array:
        """Sums both LSTMs, the right one shifted down by a row to be causal."""
        left, right = (
            one_by_one(layer[name]["input"], x) + condition_terms(layer, name, condition) for name in DIRECTIONS
        )
        hidden = diagonal_lstm(layer["from_left"], left)
        from_right = diagonal_lstm(layer["from_right"], jnp.flip(right, axis=2))
        return one_by_one(layer["up"], drop(hidden + shift_down(jnp.flip(from_right, axis=2))))


class State(NamedTuple):
    """LSTM state: h (hidden) and c (cell)."""

    hidden: Float[Array, "*pixels features"]
    cell: Float[Array, "*pixels features"]


def lstm_shapes(model: Network, inputs: tuple[int, ...], states: tuple[int, ...]) -> Params:
    """Declares an LSTM that reads ``inputs`` and ``states`` taps."""
    gates = (GATES, model.features)
    return {
        "input": affine((*inputs, model.residual_features), gates),
        "state": {"kernel": Kernel((*states, model.features), gates)},
        "initial": {"bias": bias((2, model.features))},  # h and c
    }


def lstm(gates: Float[Array, "*pixels gate features"], cell: Float[Array, "*pixels features"]) -> State:
    """Computes the new state (1601.06759, equation 3)."""
    out, forget, write = jnp.moveaxis(jax.nn.sigmoid(gates[..., :3, :]), -2, 0)
    cell = forget * cell + write * jnp.tanh(gates[..., 3, :])
    return State(out * jnp.tanh(cell), cell)


def initial_state(layer: Params, pixels: tuple[int, ...]) -> State:
    """Broadcasts the learned initial state."""
    return State(*(jnp.broadcast_to(x, (*pixels, *x.shape)) for x in layer["initial"]["bias"]))


# The layer and the stream of each


def row_lstm(layer: Params, gates: Gates) -> Features:
    """Computes hidden states row by row from the input-to-state ``gates``."""

    def row(above: State, gates: Gates) -> tuple[State, Array]:
        state = lstm(gates + states_above(layer, above.hidden), above.cell)
        return state, state.hidden

    rows = jnp.moveaxis(gates[:, None], 2, 0)
    _, hidden = jax.lax.scan(row, varying_as(gates, initial_state(layer, rows.shape[1:4])), rows)
    return jnp.moveaxis(hidden[:, :, 0], 0, 1)


def states_above(layer: Params, hidden: Features) -> Gates:
    """Convolves the states of the row above, with initial states left and right of it."""
    kernel = layer["state"]["kernel"]
    border = initial_state(layer, (len(hidden), 1, kernel.shape[1] // 2)).hidden
    return window_product(jnp.concatenate([border, hidden, border], axis=2), kernel)


class RowLSTMStream(ResidualStream):
    """The ``Stream`` of a Row LSTM, which caches the states of the row above."""

    def taps_left(self, layer: Params) -> Array:
        return layer["rows"]["input"]["left"]

    def border(self, layer: Params, batch: int, width: int) -> State:
        return initial_state(layer["rows"], (batch, 1, width))

    def context_from_above(self, layer: Params, memory: State, condition: Condition) -> tuple[Array, Array]:
        return states_above(layer["rows"], memory.hidden) + condition_terms(layer, "rows", condition), memory.cell

    def block(self, layer: Params, read: Array, above: tuple[Array, Array], left: Array) -> tuple[Array, State]:
        gates, cell = above
        state = lstm(convolve(layer["rows"]["input"], read, left) + gates, cell)
        return one_by_one(layer["up"], state.hidden), state


def diagonal_lstm(layer: Params, gates: Gates) -> Features:
    """Computes hidden states by diagonals, with the left cell, from the input-to-state ``gates``."""
    batch, height, width, *_ = gates.shape
    inside = skew(jnp.ones((1, height, width, 1), bool))
    initial = varying_as(gates, initial_state(layer, (batch, height)))

    def diagonal(before: State, now: tuple[Array, Array]) -> tuple[State, Array]:
        gates, inside = now
        # On the previous diagonal, the left pixel has the same row index, the upper one the index before.
        window = jnp.concatenate([initial.hidden[:, :1], before.hidden], axis=1)[:, :, None]
        state = lstm(gates + window_product(window, layer["state"]["kernel"])[:, :, 0], before.cell)
        state = jax.tree.map(lambda new, outside: jnp.where(inside, new, outside), state, initial)
        return state, state.hidden

    diagonals = jax.tree.map(lambda x: jnp.moveaxis(x, 2, 0), (skew(gates), inside))
    _, hidden = jax.lax.scan(diagonal, initial, diagonals)
    return unskew(jnp.moveaxis(hidden, 0, 2))


def skew(x: Shaped[Array, "batch height width *features"]) -> Shaped[Array, "batch height diagonals *features"]:
    """Shifts row r right by r: diagonals become columns (1601.06759, figure 3)."""
    batch, height, width, *features = x.shape
    padded = jnp.pad(x, ((0, 0), (0, 0), (0, height), *(((0, 0),) * len(features))))
    # Reshaped to rows shorter by one, row r starts r columns further right.
    flat = padded.reshape(batch, height * (width + height), *features)[:, :-height]
    return flat.reshape(batch, height, width + height - 1, *features)


def unskew(x: Shaped[Array, "batch height diagonals *features"]) -> Shaped[Array, "batch height width *features"]:
    """Inverts ``skew``."""
    batch, height, diagonals, *features = x.shape
    flat = x.reshape(batch, height * diagonals, *features)
    padded = jnp.pad(flat, ((0, 0), (0, height), *(((0, 0),) * len(features))))
    return padded.reshape(batch, height, diagonals + 1, *features)[:, :, : diagonals + 1 - height]
