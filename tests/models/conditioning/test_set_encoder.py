"""The encoder of a set of examples: blind to their order, and a density given the set stays one."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from proofs import all_images, assert_causal, assert_same, random_images, randomised

from pixelcnn_jax import GatedPixelCNN, InputError, log_prob
from pixelcnn_jax.models.conditioning.conditional import ConditionalModel
from pixelcnn_jax.models.conditioning.set_encoder import SetEncoder, nearness
from pixelcnn_jax.models.inputs import ABSENT, Condition
from pixelcnn_jax.training.optimizer import muon_axes

pytestmark = pytest.mark.usefixtures("strict_dtypes")

ENCODER = SetEncoder((10, 7, 3), 2, features=(4, 6), heads=2)
SETS = jax.random.randint(jax.random.key(3), (2, 3, 10, 7, 1), 0, 2)
VARIABLES = randomised(ENCODER.init(jax.random.key(1), SETS[:, :1]))
MODEL = ConditionalModel(GatedPixelCNN(levels=2, features=8, layers=2), SetEncoder((3, 4, 3), 2, 3, (4, 6), 2))


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
    bias = nearness((14, 14), (7, 7), 3).reshape(3, 14, 14, 50)
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


def given(count):
    sets = random_images(MODEL.network, (1, 3, 4), key=5)[None, :, :, :, :]
    return jnp.concatenate([(sets + i) % 2 for i in range(count)], axis=1) if count else sets[:, :0]


@pytest.fixture(scope="module")
def variables():
    return randomised(MODEL.init(jax.random.key(0), random_images(MODEL.network, (1, 3, 4)), given(2)), scale=0.1)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_given_a_set_it_is_causal_normalised_and_sampled_as_it_scores(count, variables):
    h, images = given(count), all_images(MODEL, (3, 4))
    condition = Condition(s=MODEL.condition(variables, h, batch=1).s)
    assert_causal(MODEL.network, {"params": variables["params"]}, (3, 4), condition)
    repeated = jnp.repeat(h, len(images), axis=0)
    np.testing.assert_allclose(np.exp(log_prob(MODEL, variables, images, h=repeated)).sum(), 1, rtol=1e-4)
    assert_same(MODEL, variables, (5, 3, 4), Condition(h=jnp.repeat(h, 5, axis=0)))


@pytest.mark.usefixtures("unchecked_shapes")
def test_what_is_no_set_of_examples_is_refused(variables):
    for wrong, named in (
        (jnp.repeat(given(1), 40, axis=1), "at most 3 images"),
        (given(1)[:, :, :2], "at most 3 images"),
        (255 * given(1), "h must hold integers 0 to 1"),
        (given(1) / 2, "h must hold integers"),
        (None, "h must be given"),
    ):
        with pytest.raises(InputError, match=named):
            log_prob(MODEL, variables, random_images(MODEL.network, (1, 3, 4)), h=wrong)
