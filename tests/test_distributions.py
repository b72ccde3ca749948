"""The discretised logistic mixture: the formula, its ends, and every proof of a network that has it as output."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import NETWORKS, build_model
from proofs import assert_complete, assert_faithful, assert_normalised
from reference import reference_mixture

from pixelcnn_jax import GatedPixelCNN
from pixelcnn_jax.distributions import gumbel_max, log_probs_of, mixture_log_probs, mixture_logits, mixture_of

pytestmark = pytest.mark.usefixtures("strict_dtypes")


def build(network, shape, channels=2, levels=5, h=0, s=0, **options):
    sizes = dict(features=8, layers=1, first_kernel_size=3, head_features=24)
    model = network(levels=levels, channels=channels, mixture=3, point_masses=levels < 5, **sizes, **options)
    return build_model(model, shape, h, s)


def test_logits_of_half_precision_are_read_in_float32():
    logits = (4 * jax.random.normal(jax.random.key(0), (50, 256))).astype(jnp.bfloat16)
    values, noise = jnp.arange(50) * 5, jax.random.gumbel(jax.random.key(1), (50, 32))
    whole = logits.astype(jnp.float32)
    np.testing.assert_array_equal(log_probs_of(logits, values), log_probs_of(whole, values))
    np.testing.assert_array_equal(gumbel_max(logits, noise), gumbel_max(whole, noise))


def test_no_level_is_drawn_if_a_logit_is_nan_or_plus_infinity():
    values, places = np.meshgrid([np.nan, np.inf], [0, 100, 255])
    logits = jnp.zeros((6, 256)).at[jnp.arange(6), places.ravel()].set(values.ravel())
    assert (gumbel_max(logits, jnp.zeros((6, 32))) == -1).all()


@pytest.mark.parametrize("point_masses", [0, 2])
@pytest.mark.parametrize("levels", [2, 3, 256])
def test_each_level_has_what_lies_around_it(levels, point_masses):
    """Against differences of SciPy's cumulative distribution, in float64."""
    numbers = np.random.default_rng(0).normal(size=(7, 3 * 4 + point_masses)).astype(np.float32)
    numbers[:, 12:] += 6  # as heavy as the components
    actual = np.exp(np.asarray(mixture_logits(jnp.asarray(numbers), levels=levels), np.float64))
    np.testing.assert_allclose(actual, reference_mixture(numbers, levels), rtol=2e-4, atol=1e-9)
    np.testing.assert_allclose(actual.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("levels", [2, 256, 65536])
@pytest.mark.parametrize("scale", [-30.0, 0.0, 30.0])
def test_every_mixture_sums_to_one(levels, scale):
    """Also the narrowest and the widest, and those that lie far outside."""
    means = np.array([-30, -1, -0.3, 0, 1, 3], np.float32)
    numbers = np.stack([np.zeros_like(means), means, np.full_like(means, scale)], axis=1)  # of one component
    logits = np.asarray(mixture_logits(jnp.asarray(numbers), levels=levels), np.float64)
    np.testing.assert_allclose(np.exp(logits).sum(axis=1), 1, atol=2e-3)


@pytest.mark.parametrize("scale", [1, 3, 10])
def test_all_levels_at_once_are_those_one_by_one(scale):
    """Down to 1e-38, where the first stop and stay numbers."""
    numbers = scale * jax.random.normal(jax.random.key(0), (500, 32))
    actual = mixture_logits(numbers, levels=256)
    expected = mixture_log_probs(numbers[:, None], jnp.arange(256)[None], levels=256)
    np.testing.assert_allclose(actual, jnp.maximum(expected, np.log(np.finfo(np.float32).tiny)), atol=1e-3)
    assert scale < 10 or expected.min() < actual.min()


def test_one_level_costs_no_more_than_itself():
    numbers = jax.random.normal(jax.random.key(0), (2, 3, 4, 1, 15))
    values = jax.random.randint(jax.random.key(1), (2, 3, 4, 1), 0, 256)
    largest = max(
        np.prod(variable.aval.shape)
        for equation in jax.make_jaxpr(lambda x: mixture_log_probs(x, values, levels=256))(numbers).eqns
        for variable in equation.outvars
    )
    assert largest <= numbers.size


def test_far_from_every_component_it_is_finite_and_pulls_the_right_way():
    numbers = jnp.array([0.0, 30.0, -20.0])  # a mean of 30, as narrow as is allowed
    loss, gradient = jax.value_and_grad(lambda x: -mixture_log_probs(x, jnp.array(0), levels=256))(numbers)
    assert np.isfinite(loss)
    assert np.isfinite(gradient).all()
    assert gradient[1] > 0


@pytest.mark.parametrize("levels", [2, 256, 65536])
@pytest.mark.parametrize("value", [0, 1])
def test_a_component_as_wide_as_can_be_leaves_the_gradient_a_number(levels, value):
    numbers = jnp.array([0.0, 0.0, 0.0, 0.0, 100.0, 0.0])
    gradient = jax.grad(lambda x: mixture_log_probs(x, jnp.array(value), levels=levels))(numbers)
    assert np.isfinite(gradient).all()


def test_levels_beyond_a_byte_are_told_apart():
    numbers = jax.random.normal(jax.random.key(0), (4, 6))
    bytes_, words = (jnp.full(4, 43, dtype) for dtype in (jnp.uint8, jnp.int32))
    actual, expected = (mixture_log_probs(numbers, values, levels=300) for values in (bytes_, words))
    np.testing.assert_array_equal(actual, expected)


def test_zeros_are_near_the_uniform_distribution():
    logits = mixture_logits(jnp.zeros(30), levels=256)
    assert abs(-logits.mean() - np.log(256)) < 0.1
    assert len(np.unique(np.asarray(mixture_of(jnp.zeros(30)).means))) == 10
    np.testing.assert_allclose(mixture_logits(jnp.zeros(32), levels=256), logits, atol=0.1)  # with point masses


@pytest.mark.parametrize("value", [0, 7, 255])
def test_the_gradient_of_a_point_mass_is_a_number(value):
    gradient = jax.grad(lambda x: mixture_log_probs(x, jnp.array(value), levels=256))(jnp.zeros(8))
    assert np.isfinite(gradient).all()
    np.testing.assert_array_equal(gradient[6:] > 0, [value == 0, value == 255])


@pytest.mark.parametrize(
    ("network", "options"), [(GatedPixelCNN, {"linear_prediction": True}), *((one, {}) for one in NETWORKS)]
)
def test_proofs(network, options):
    assert_complete(*build(network, (3, 3), h=2, s=2, **options))
    assert_normalised(*build(network, (2, 1), channels=2, levels=3, h=2, **options))


def test_samples_follow_the_model():
    assert_faithful(*build(GatedPixelCNN, (1, 2), levels=3))
