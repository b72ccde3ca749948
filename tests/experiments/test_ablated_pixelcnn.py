"""Networks without a part: the rest is unchanged, the missing part shows, and each is causal."""

from functools import cache

import jax
import numpy as np
import pytest
from proofs import assert_causal, dependence, random_images, randomised, receptive_field

from experiments.paper.ablated_pixelcnn import AblatedPixelCNN
from experiments.paper.ablations import VARIANTS
from pixelcnn_jax import GatedPixelCNN, log_prob

pytestmark = pytest.mark.usefixtures("strict_dtypes")

SIZES = {"levels": 3, "features": 16, "layers": 3, "first_kernel_size": 3, "head_features": 24}


@cache
def build(channels=1, **parts):
    model = AblatedPixelCNN(channels=channels, **SIZES, **parts)
    return model, randomised(model.init(jax.random.key(0), random_images(model, (1, 5, 6))), scale=0.1)


def test_the_whole_is_the_gated_pixelcnn():
    model, variables = build(channels=3)
    images = random_images(model, (2, 5, 6))
    expected = jax.jit(GatedPixelCNN(channels=3, **SIZES).apply)(variables, images)
    np.testing.assert_allclose(jax.jit(model.apply)(variables, images), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["relu", "one stack", "vertical residual"])
def test_without_a_part_it_is_causal_and_another_network(name):
    model, variables = build(channels=2, **VARIANTS[name])
    assert_causal(model, variables, (3, 4))
    if name == "vertical residual":  # the same parameters
        whole, _ = build(channels=2)
        images = random_images(model, (2, 5, 6))
        assert abs(log_prob(model, variables, images) - log_prob(whole, variables, images)).max() > 1e-3


def test_one_stack_has_the_blind_spot_and_two_have_none():
    shape = (5, 6)
    whole = receptive_field(GatedPixelCNN(**SIZES), shape)
    one, two = (dependence(*build(two_stacks=stacks), shape) for stacks in (False, True))
    assert (two >= whole).all()
    assert (one <= whole).all()
    of_the_middle = one.reshape(*shape, *shape)[2, 2]
    assert not of_the_middle[1, 5]  # above, to the right: a step of one row reaches one column further at most
    assert two.reshape(*shape, *shape)[2, 2][1, 5]
