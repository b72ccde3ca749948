"""The blind spots of the networks of 1601.06759, and the diagonals."""

import jax.numpy as jnp
import numpy as np
import pytest
from networks import build_model
from proofs import dependence, receptive_field

from pixelcnn_jax import DiagonalBiLSTM, PixelCNN, RowLSTM
from pixelcnn_jax.models.predecessors.pixelrnn import skew, unskew

pytestmark = pytest.mark.usefixtures("strict_dtypes")


def sees(network, shape, pixel, **attributes):
    """The pixels that the logits of one depend on, asserted to be those that its taps lead to."""
    model, variables, shape, _ = build_model(
        network(levels=2, features=8, first_kernel_size=3, **attributes), shape, scale=0.2
    )
    actual = dependence(model, variables, shape)
    np.testing.assert_array_equal(actual, receptive_field(model, shape))
    index = pixel[0] * shape[1] + pixel[1]
    return {divmod(int(other), shape[1]) for other in np.flatnonzero(actual[index])}


def all_before(shape, pixel):
    return {p for p in np.ndindex(shape) if p < pixel}


def test_the_blind_spot():
    """Figure 1 of 1606.05328: to the right only what lies on or above a diagonal, however many the layers."""
    seen = sees(PixelCNN, (5, 7), (4, 1), layers=3)
    right = {(3, 3), (3, 4), (3, 5), (3, 6), (2, 4), (2, 5), (2, 6), (1, 5), (1, 6), (0, 6)}
    assert seen == all_before((5, 7), (4, 1)) - right


def test_the_triangle():
    """A Row LSTM of one layer sees two more pixels of every row further up."""
    seen = sees(RowLSTM, (4, 9), (3, 4), layers=1)
    rows = {0: range(8), 1: range(7), 2: range(1, 6), 3: range(2, 4)}
    assert seen == {(r, c) for r, columns in rows.items() for c in columns}


def test_the_full_past_but_for_a_pixel():
    """A Diagonal BiLSTM misses the last pixel of the row above unless the first convolution reaches it."""
    seen = sees(DiagonalBiLSTM, (4, 6), (2, 1), layers=1)
    assert seen == all_before((4, 6), (2, 1)) - {(1, 5)}
    assert sees(DiagonalBiLSTM, (4, 6), (2, 4), layers=1) == all_before((4, 6), (2, 4))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 4), (4, 1), (3, 5), (5, 3)])
@pytest.mark.parametrize("features", [(), (2, 3)])
def test_skew_moves_row_r_by_r_and_unskew_undoes_it(height, width, features):
    x = np.arange(1, 1 + 2 * height * width * int(np.prod(features))).reshape(2, height, width, *features)
    expected = np.zeros((2, height, height + width - 1, *features), x.dtype)
    for r, c in np.ndindex(height, width):
        expected[:, r, r + c] = x[:, r, c]
    np.testing.assert_array_equal(skew(jnp.array(x)), expected)
    np.testing.assert_array_equal(unskew(jnp.array(expected)), x)
