"""The laws that must hold for every network, on networks, shapes and conditions that hypothesis chooses."""

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from integer_models import condition_of, make_integer
from proofs import (
    assert_normalised,
    assert_same,
    dependence,
    random_condition,
    random_images,
    randomised,
    receptive_field,
)
from reference import reference_logits

from pixelcnn_jax import DiagonalBiLSTM, GatedPixelCNN, PixelCNN, RowLSTM, compress, decompress, log_prob, sample

FEW = settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)


@st.composite
def cases(draw, networks=(GatedPixelCNN, PixelCNN, RowLSTM, DiagonalBiLSTM), levels=9, subpixels=24, codes=True):
    """Returns a network, a shape and the sizes of h and s."""
    channels = draw(st.integers(1, 3))
    width = draw(st.integers(1, min(4, subpixels // channels)))
    shape = draw(st.integers(1, min(4, subpixels // channels // width))), width
    outputs = draw(st.sampled_from([{}, {"code_features": 2}, {"mixture": 2}] if codes else [{}]))
    model = draw(st.sampled_from(networks))(
        levels=draw(st.integers(2, levels)),
        channels=channels,
        features=draw(st.integers(channels, 8)),
        head_features=draw(st.none() | st.integers(channels, 6)),
        layers=draw(st.integers(1, 2)),
        kernel_size=draw(st.sampled_from([3, 5])),
        first_kernel_size=draw(st.sampled_from([3, 5, 7])),
        **outputs,
    )
    sizes = draw(st.sampled_from([(0, 0), (3, 0), (0, 2), (2, 1)]))
    return model, shape, sizes


def variables_of(model, shape, sizes):
    condition = random_condition((1, *shape), *sizes)
    variables = model.init(jax.random.key(1), random_images(model, (1, *shape)), *condition)
    return randomised(variables, scale=0.2)


@FEW
@given(cases(subpixels=12))
def test_no_logit_depends_on_anything_outside_of_its_receptive_field(case):
    """Which holds earlier sub-pixels only. To miss nothing inside takes more features than some of these have."""
    model, shape, sizes = case
    variables = variables_of(*case)
    depends = dependence(model, variables, shape, random_condition((1, *shape), *sizes))
    assert (depends <= receptive_field(model, shape)).all()
    assert not np.triu(depends).any()


@FEW
@given(cases())
def test_cached_samples_are_the_naive_ones(case):
    model, shape, sizes = case
    variables = variables_of(*case)
    assert_same(model, variables, (3, *shape), random_condition((3, *shape), *sizes))


@FEW
@given(cases(levels=3, subpixels=4))
def test_probabilities_sum_to_one(case):
    model, shape, sizes = case
    variables = variables_of(*case)
    assert_normalised(model, variables, shape, random_condition((1, *shape), *sizes))


@FEW
@given(cases(networks=(GatedPixelCNN,)).filter(lambda case: not case[0].mixture), st.integers(1, 3))
def test_what_is_compressed_comes_back(case, batch_size):
    network, shape, sizes = case
    _, model, variables = make_integer(network, *sizes)
    images, given = np.asarray(random_images(model, (3, *shape), key=4)), condition_of((3, *shape), *sizes)._asdict()
    data = compress(model, variables, images, **given, batch_size=batch_size, verify=False)
    np.testing.assert_array_equal(decompress(model, variables, data, **given), images)


@FEW
@given(cases(networks=(GatedPixelCNN,), codes=False))
def test_float32_agrees_with_float64(case):
    model, shape, sizes = case
    variables = variables_of(*case)
    condition = random_condition((1, *shape), *sizes)
    images = random_images(model, (1, *shape), key=4)
    first = (None if x is None else np.asarray(x[0], np.float64) for x in condition)
    exact = reference_logits(model, variables["params"], np.asarray(images[0]), *first)
    actual = model.apply(variables, images, *condition)[0]
    np.testing.assert_allclose(actual, exact, rtol=1e-5, atol=1e-5 * np.abs(exact).max())
    exact = exact - np.log(np.exp(exact).sum(axis=-1, keepdims=True))
    nats = np.take_along_axis(exact, np.asarray(images[0])[..., None], axis=-1).sum()
    np.testing.assert_allclose(log_prob(model, variables, images, h=condition.h, s=condition.s), [nats], rtol=1e-5)


@FEW
@given(cases(networks=(GatedPixelCNN,)), st.integers(0, 4))
def test_labels_are_one_hot_vectors(case, seed):
    model, shape, _ = case
    labels = np.random.default_rng(seed).integers(3, size=2)
    images = random_images(model, (2, *shape), key=seed)
    variables = randomised(model.init(jax.random.key(1), images, jnp.zeros((2, 3))))
    given_labels = log_prob(model, variables, images, h=labels)
    np.testing.assert_array_equal(given_labels, log_prob(model, variables, images, h=jnp.eye(3)[labels]))
    drawn = (
        sample(model, variables, jax.random.key(0), shape=(2, *shape), h=h, guidance=1.0)
        for h in (labels, jnp.eye(3)[labels])
    )
    np.testing.assert_array_equal(*drawn)
