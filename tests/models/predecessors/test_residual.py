"""The receptive fields of the networks of 1601.06759, as its figures and those of 1606.05328 show them."""

import numpy as np
import pytest
from networks import build_model
from proofs import dependence

from pixelcnn_jax import DiagonalBiLSTM, PixelCNN, RowLSTM

BEYOND_A_DIAGONAL = {(3, 3), (3, 4), (3, 5), (3, 6), (2, 4), (2, 5), (2, 6), (1, 5), (1, 6), (0, 6)}
BESIDE_A_TRIANGLE = {(3, 0), (3, 1), (2, 0), (2, 6), (2, 7), (2, 8), (1, 7), (1, 8), (0, 8)}


@pytest.mark.parametrize(
    ("network", "layers", "shape", "pixel", "missed"),
    [
        (PixelCNN, 3, (5, 7), (4, 1), BEYOND_A_DIAGONAL),  # the blind spot, however many the layers
        (RowLSTM, 1, (4, 9), (3, 4), BESIDE_A_TRIANGLE),  # two more pixels of every row further up
        (DiagonalBiLSTM, 1, (4, 6), (2, 1), {(1, 5)}),  # the last pixel of the row above
        (DiagonalBiLSTM, 1, (4, 6), (2, 4), set()),  # unless the first convolution reaches it
    ],
)
def test_what_a_pixel_cannot_see(network, layers, shape, pixel, missed):
    model = network(levels=2, features=8, layers=layers, first_kernel_size=3)
    sees, this = dependence(*build_model(model, shape, scale=0.2)), np.ravel_multi_index(pixel, shape)
    assert {other for i, other in enumerate(np.ndindex(shape)) if i < this and not sees[this, i]} == missed
