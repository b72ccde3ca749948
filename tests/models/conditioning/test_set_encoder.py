"""The encoder of a set of examples, blind to their order."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from proofs import randomised

from pixelcnn_jax import InputError
from pixelcnn_jax.models.conditioning.set_encoder import SetEncoder
from pixelcnn_jax.models.inputs import ABSENT

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


@pytest.mark.usefixtures("unchecked_shapes")
@pytest.mark.parametrize(
    ("examples", "named"),
    [
        (jnp.repeat(SETS, 4, axis=1), "at most 9 images"),
        (SETS[:, :, :9], "at most 9 images"),
        (255 * SETS, "h must hold integers 0 to 1"),
        (SETS / 2, "h must hold integers"),
        (SETS.at[0, 0, 0, 0].set(-1), "h must hold integers 0 to 1"),
    ],
)
def test_what_is_no_set_of_examples_is_refused(examples, named):
    with pytest.raises(InputError, match=named):
        ENCODER.apply(VARIABLES, examples)
    with pytest.raises(InputError, match="a multiple of heads"):
        ENCODER.clone(heads=5).apply(VARIABLES, SETS)
