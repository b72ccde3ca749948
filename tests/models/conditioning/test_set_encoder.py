"""The encoder of a set of examples, blind to their order."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from proofs import randomised

from pixelcnn_jax import InputError
from pixelcnn_jax.models.conditioning.set_encoder import SetEncoder, position_bias
from pixelcnn_jax.models.inputs import ABSENT
from pixelcnn_jax.training.optimizer import muon_axes

pytestmark = pytest.mark.usefixtures("strict_dtypes")

ENCODER = SetEncoder((10, 7, 3), 2, features=(4, 6), heads=2)
SETS = jax.random.randint(jax.random.key(3), (2, 3, 10, 7, 1), 0, 2)
VARIABLES = randomised(ENCODER.init(jax.random.key(1), SETS[:, :1]))


@jax.jit
def encoded(sets):
    return ENCODER.apply(VARIABLES, sets)


def test_the_order_of_examples_does_not_matter_and_each_of_them_does():
    actual = encoded(SETS)
    for order in itertools.permutations(range(3)):
        np.testing.assert_allclose(encoded(SETS[:, order]), actual, atol=2e-5)
    for place in range(3):
        other = encoded(SETS.at[:, place].set(1 - SETS[:, place]))
        assert (jnp.abs(other - actual).max(axis=(1, 2, 3)) > 1e-3).all()


def test_an_absent_example_counts_as_left_out():
    empty = jnp.full_like(SETS, ABSENT)
    np.testing.assert_allclose(encoded(jnp.concatenate([SETS, empty], axis=1)), encoded(SETS), atol=2e-5)
    np.testing.assert_allclose(encoded(empty), encoded(SETS[:, :0]), atol=2e-5)
    assert jnp.abs(encoded(empty) - encoded(SETS)).max() > 1e-3


def test_the_first_head_begins_with_its_surroundings():
    bias = position_bias((14, 14), (7, 7), 3).reshape(3, 14, 14, 50)
    assert (bias[..., 0] == 0).all()
    for row, column in ((0, 0), (5, 8), (13, 13)):
        assert bias[0, row, column, 1:].argmax() == row // 2 * 7 + column // 2
    np.testing.assert_allclose(bias[1], bias[0] / 2)


def test_muon_treats_its_kernels_as_matrices_and_leaves_its_tables_to_adam():
    params = VARIABLES["params"]
    for (path, axes), x in zip(
        jax.tree_util.tree_leaves_with_path(
            muon_axes(params), is_leaf=lambda x: x is None or hasattr(x, "output_axis")
        ),
        jax.tree.leaves(params),
        strict=True,
    ):
        if path[-1].key == "kernel":
            assert (len(axes.reduction_axis), len(axes.output_axis)) == (x.ndim - 1, 1)
        else:
            assert axes is None, path


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("examples", "named"),
    [
        (jnp.repeat(SETS, 4, axis=1), "at most 9 images"),
        (SETS[:, :, :9], "at most 9 images"),
        (255 * SETS, "h must hold integers 0 to 1"),
        (SETS / 2, "h must hold integers"),
    ],
)
def test_what_is_no_set_of_examples_is_refused(examples, named):
    with pytest.raises(InputError, match=named):
        ENCODER.apply(VARIABLES, examples)
