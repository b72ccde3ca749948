"""The laws that must hold for every network, on networks, shapes and conditions that hypothesis chooses."""

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from integer_models import condition_of, make_integer
from networks import NETWORKS, build_model
from proofs import assert_same, dependence, random_images, receptive_field

from pixelcnn_jax import GatedPixelCNN, compress, decompress

FEW = settings(
    max_examples=3,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)


@st.composite
def cases(draw, networks=NETWORKS, subpixels=24):
    """Returns a network, a shape and the sizes of h and s."""
    channels = draw(st.integers(1, 3))
    width = draw(st.integers(1, min(4, subpixels // channels)))
    shape = draw(st.integers(1, min(4, subpixels // channels // width))), width
    outputs = draw(st.sampled_from([{}, {"code_features": 2}, {"mixture": 2}]))
    model = draw(st.sampled_from(networks))(
        levels=draw(st.integers(2, 9)),
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


@FEW
@given(cases(subpixels=12))
def test_no_logit_depends_on_anything_outside_of_its_receptive_field(case):
    """Which holds earlier sub-pixels only. To miss nothing inside takes more features than some of these have."""
    model, shape, sizes = case
    depends = dependence(*build_model(model, shape, *sizes, scale=0.2))
    assert (depends <= receptive_field(model, shape)).all()
    assert not np.triu(depends).any()


@FEW
@given(cases())
def test_cached_samples_are_the_naive_ones(case):
    model, shape, sizes = case
    model, variables, shape, condition = build_model(model, shape, *sizes, batch=3, scale=0.2)
    assert_same(model, variables, (3, *shape), condition)


@FEW
@given(cases(networks=(GatedPixelCNN,)).filter(lambda case: not case[0].mixture), st.integers(1, 3))
def test_what_is_compressed_comes_back(case, batch_size):
    network, shape, sizes = case
    _, model, variables = make_integer(network, *sizes)
    images, given = np.asarray(random_images(model, (3, *shape), key=4)), condition_of((3, *shape), *sizes)._asdict()
    data = compress(model, variables, images, **given, batch_size=batch_size, verify=False)
    np.testing.assert_array_equal(decompress(model, variables, data, **given), images)
