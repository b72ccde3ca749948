"""Known mistakes of predecessor implementations, planted on purpose: each must fail the test that guards against it."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import build, matches_the_reference
from proofs import assert_causal

from pixelcnn_jax import DiagonalBiLSTM, PixelCNN, RowLSTM
from pixelcnn_jax.models.predecessors import pixelcnn, pixelrnn, residual

pytestmark = pytest.mark.usefixtures("strict_dtypes")


def no_row_shift(monkeypatch):
    monkeypatch.setattr(pixelrnn, "shift_down", lambda x: x)


def open_masks(monkeypatch, name):
    original = residual.colour_masks

    def changed(model):
        masks = original(model)
        return masks._replace(**{name: np.ones_like(getattr(masks, name))})

    monkeypatch.setattr(residual, "colour_masks", changed)


def mask_b_in_the_first_layer(monkeypatch):
    open_masks(monkeypatch, "first")


def no_mask_on_a_1x1(monkeypatch):
    open_masks(monkeypatch, "up")


def no_mask_on_the_input_of_a_gate(monkeypatch):
    def with_one_gate_open(kernel, whole):
        return kernel.at[..., 1, :].set(whole[..., 1, :])

    def columns_with_one_gate_open(part, mask):
        actual = original_columns(part, mask)
        return actual | {"pixel": with_one_gate_open(actual["pixel"], part["kernel"][..., -1, :, :, :])}

    def part_with_one_gate_open(part, mask):
        actual = original_part(part, mask)
        return actual if mask.ndim == 2 else actual | {"kernel": with_one_gate_open(actual["kernel"], part["kernel"])}

    original_columns, original_part = pixelrnn.split_columns, pixelrnn.mask_part
    monkeypatch.setattr(pixelrnn, "split_columns", columns_with_one_gate_open)
    monkeypatch.setattr(pixelrnn, "mask_part", part_with_one_gate_open)


def states_of_the_row_itself(monkeypatch):
    """State-to-state over the states of its own row, too."""
    original = pixelrnn.row_lstm

    def changed(layer, *args):
        hidden = original(layer, *args)
        window = jnp.pad(hidden, ((0, 0), (0, 0), (1, 1), (0, 0)))
        return hidden + pixelrnn.window_product(window, layer["state"]["kernel"])[..., 0, :]

    monkeypatch.setattr(pixelrnn, "row_lstm", changed)


def one_state_for_both_neighbours(monkeypatch):
    """A column of states read one row too low: of the pixel to the left that below it, too."""
    original = pixelrnn.window_product
    monkeypatch.setattr(pixelrnn, "window_product", lambda window, kernel: original(jnp.roll(window, -1, 1), kernel))


def initial_states_that_are_not_learned(monkeypatch):
    original = pixelrnn.initial_state
    monkeypatch.setattr(
        pixelrnn, "initial_state", lambda *args: jax.tree.map(lambda x: jnp.zeros_like(x), original(*args))
    )


def a_block_without_a_relu(monkeypatch):
    monkeypatch.setattr(pixelcnn, "before_convolution", partial(_without_relu, pixelcnn.before_convolution))


def _without_relu(function, *args):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax.nn, "relu", lambda x: x)
        return function(*args)


@pytest.mark.parametrize(
    ("network", "trap"),
    [
        (DiagonalBiLSTM, no_row_shift),
        (PixelCNN, mask_b_in_the_first_layer),
        (RowLSTM, mask_b_in_the_first_layer),
        (PixelCNN, no_mask_on_a_1x1),
        (DiagonalBiLSTM, no_mask_on_a_1x1),
        (RowLSTM, no_mask_on_the_input_of_a_gate),
        (DiagonalBiLSTM, no_mask_on_the_input_of_a_gate),
        (RowLSTM, states_of_the_row_itself),
    ],
)
def test_traps_that_see_the_future(monkeypatch, network, trap):
    built = build(network, "colour")
    trap(monkeypatch)
    with pytest.raises(AssertionError, match="see the future"):
        assert_causal(*built)


@pytest.mark.parametrize(
    ("network", "trap"),
    [
        (RowLSTM, initial_states_that_are_not_learned),
        (DiagonalBiLSTM, initial_states_that_are_not_learned),
        (DiagonalBiLSTM, one_state_for_both_neighbours),
        (PixelCNN, a_block_without_a_relu),
    ],
)
def test_traps_that_are_another_network(monkeypatch, network, trap):
    built = build(network, "grey")
    trap(monkeypatch)
    with pytest.raises(AssertionError):
        matches_the_reference(*built)
