"""The networks of 1601.06759 are causal, normalised, as the paper says, and complete up to their known blind spots."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from predecessors import COLOUR, GREY, VARIANTS, build, build_model, matches_the_reference
from proofs import (
    assert_complete,
    assert_faithful,
    assert_normalised,
    assert_same,
    dependence,
    random_images,
    receptive_field,
)

from pixelcnn_jax import DiagonalBiLSTM, PixelCNN, RowLSTM, naive_sample
from pixelcnn_jax.foundation.distributions import draw, noise
from pixelcnn_jax.models.predecessors.pixelrnn import skew, unskew

pytestmark = pytest.mark.usefixtures("strict_dtypes")

NETWORKS = (PixelCNN, RowLSTM, DiagonalBiLSTM)
each_network = pytest.mark.parametrize("network", NETWORKS)


@pytest.mark.parametrize(
    ("network", "name"),
    # A Diagonal BiLSTM has no kernel that could be wide.
    [(n, name) for n in NETWORKS for name in VARIANTS if (n, name) != (DiagonalBiLSTM, "wide kernels")],
)
def test_causal_and_complete(network, name):
    model, variables, shape, condition = build(network, name)
    assert not np.triu(receptive_field(model, shape)).any()  # so that what is complete, and no wider, is causal
    assert_complete(model, variables, shape, condition)


def sees(network, shape, pixel, **attributes):
    """The pixels that the logits of one depend on, asserted to be those that its taps lead to."""
    model, variables, shape, _ = build_model(network(levels=2, features=8, first_kernel_size=3, **attributes), shape)
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


@each_network
@pytest.mark.parametrize(("attributes", "shape", "h", "s"), [(GREY, (2, 2), 0, 0), (COLOUR, (1, 3), 2, 3)])
def test_normalised(network, attributes, shape, h, s):
    model, variables, shape, condition = build_model(network(**attributes), shape, h, s)
    assert_normalised(model, variables, shape, condition)


@each_network
@pytest.mark.parametrize("name", ["grey", "colour", "h and s", "wide kernels", "codes"])
def test_as_the_paper_says_pixel_by_pixel(network, name):
    matches_the_reference(*build(network, name))


@each_network
def test_completions_follow_from_one_pass(network):
    model, variables, shape, condition = build(network, "h and s", batch=2)
    given = random_images(model, (2, *shape), key=9)
    upper = np.arange(shape[0]) < 1
    mask = upper[None, :, None, None]
    completed = assert_same(model, variables, (2, *shape), condition, given=given, mask=mask)
    np.testing.assert_array_equal(completed[:, :1], given[:, :1])
    # One pass over the finished images gives the logits from which each sub-pixel was drawn.
    logits, keys = model.apply(variables, completed, *condition), jax.random.split(jax.random.key(3), 2)
    for row in range(1, shape[0]):
        gumbel = noise(keys, row, width=shape[1], channels=model.channels, levels=model.levels)
        actual = draw(logits[:, row].reshape(-1, model.levels), gumbel.reshape(-1, gumbel.shape[-1]))
        np.testing.assert_array_equal(actual, completed[:, row].ravel())


def test_faithful():
    model, variables, shape, condition = build_model(DiagonalBiLSTM(**GREY), (2, 2), 2, 0, scale=0.4)
    assert_faithful(model, variables, shape, condition, sampler=naive_sample)


@each_network
def test_dropout_and_bfloat16(network):
    model = network(**GREY | dict(dropout=0.5, dtype=jnp.bfloat16))
    images = random_images(model, (2, 4, 3))
    variables = model.init(jax.random.key(0), images)
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("float32")}

    @jax.jit  # once for the three: compiling is what takes time
    def outputs(variables):
        dropped = model.apply(variables, images, deterministic=False, rngs={"dropout": jax.random.key(1)})
        exact = model.clone(dtype=jnp.float32).apply(variables, images)
        return model.apply(variables, images), exact, dropped

    plain, exact, dropped = outputs(variables)
    assert plain.dtype == dropped.dtype == jnp.float32
    assert 0 < jnp.abs(plain - exact).max() < 0.1
    assert (dropped != plain).any()


# The diagonals


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 4), (4, 1), (3, 5), (5, 3)])
@pytest.mark.parametrize("features", [(), (2, 3)])
def test_skew_moves_row_r_by_r_and_unskew_undoes_it(height, width, features):
    x = np.arange(1, 1 + 2 * height * width * int(np.prod(features))).reshape(2, height, width, *features)
    expected = np.zeros((2, height, height + width - 1, *features), x.dtype)
    for r, c in np.ndindex(height, width):
        expected[:, r, r + c] = x[:, r, c]
    np.testing.assert_array_equal(skew(jnp.array(x)), expected)
    np.testing.assert_array_equal(unskew(jnp.array(expected)), x)
