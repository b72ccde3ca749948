"""Likelihoods: the sum of the conditionals, in nats and bits/dim; and what is refused."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from proofs import random_images, randomised

from pixelcnn_jax import GatedPixelCNN, InputError, bits_per_dim, check_causal, log_prob, naive_sample, quantise, sample
from pixelcnn_jax.likelihood import nll
from pixelcnn_jax.models.conditioning.conditional_model import ConditionalModel, ConstantCondition

pytestmark = pytest.mark.usefixtures("strict_dtypes")
GREY = GatedPixelCNN(levels=2, features=8, layers=1)


def test_log_prob_is_the_sum_of_the_conditionals():
    model = GatedPixelCNN(levels=2, channels=3, features=25, layers=2, first_kernel_size=3)
    images = random_images(model, (3, 3, 4))
    variables = randomised(model.init(jax.random.key(1), images), scale=0.1)
    p = np.asarray(jax.nn.softmax(jax.jit(model.apply)(variables, images)))
    actual, counted = log_prob(model, variables, images), np.arange(3) == 1
    images = np.asarray(images)
    each = np.array([[np.log(p[b, *i, images[b, *i]]) for i in np.ndindex(3, 4, 3)] for b in range(3)])
    np.testing.assert_allclose(actual, each.sum(axis=1), rtol=1e-5)
    bits = -each.sum(axis=1) / np.log(2) / (3 * 4 * 3)
    np.testing.assert_allclose(bits_per_dim(model, variables, images), bits, rtol=1e-5)
    of_green = nll(model, variables, images, mask=counted[None, None, None])
    np.testing.assert_allclose(of_green, -each[:, 1::3].sum(axis=1), rtol=1e-5)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 3, 4, 3), np.int32),
        np.zeros((2, 3, 4, 1), np.float32),
        np.full((2, 3, 4, 1), 2, np.int32),
        np.full((2, 3, 4, 1), -1, np.int32),
    ],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_refused_images(images):
    variables = GREY.init(jax.random.key(0), np.zeros((1, 3, 4, 1), np.int32))
    with pytest.raises(InputError, match=r"^images must"):
        log_prob(GREY, variables, images)
    for mask in (np.ones((3, 4), bool), np.ones((1, 3, 4, 1), int)):
        with pytest.raises(InputError, match=r"^mask must"):
            nll(GREY, variables, np.zeros((2, 3, 4, 1), int), mask=mask)


class Cooler(GatedPixelCNN):
    """A network of a user that changes the logits in its call."""

    def __call__(self, images, h=None, s=None, **options):
        return super().__call__(images, h, s, **options) / 2


class Traced(GatedPixelCNN):
    """A network of a user with log-probabilities of its own."""

    log_probs = GatedPixelCNN.log_probs


class CoolerTraced(Cooler, Traced):
    """A network whose call is defined later than its log-probabilities."""


class CoolerConditional(ConditionalModel):
    """A conditional model whose call is a user's."""

    def __call__(self, images, h=None, **options):
        return super().__call__(images, h, **options) / 2


SMALL = GatedPixelCNN(levels=3, features=4, layers=1)
COOLER = [kind(levels=3, features=4, layers=1) for kind in (Cooler, CoolerTraced)]


@pytest.mark.parametrize("model", [*COOLER, CoolerConditional(SMALL, ConstantCondition(2, 1))])
def test_a_call_of_ones_own_is_what_is_scored(model):
    images = np.ones((1, 3, 4, 1), int)
    variables = randomised(model.init(jax.random.key(0), images))
    each = jax.nn.log_softmax(model.apply(variables, images))[..., 1]
    np.testing.assert_allclose(log_prob(model, variables, images), each.sum(axis=(1, 2, 3)), rtol=1e-5)


def test_grey_images_of_three_axes_are_of_one_channel():
    model, images = GREY.clone(mixture=2, linear_prediction=True), np.ones((1, 3, 3), np.int32)
    variables = model.init(jax.random.key(0), images)
    np.testing.assert_array_equal(model.apply(variables, images), model.apply(variables, images[..., None]))
    np.testing.assert_array_equal(nll(model, variables, images), nll(model, variables, images[..., None]))


def test_labels_may_be_constants_of_a_compiled_function_and_traced_ones_that_are_no_class_give_nan():
    """Zeros would stand for "no condition"."""
    images, labels, wrong = jax.numpy.ones((3, 3, 4, 1), np.int32), jax.numpy.arange(3), np.array([0, 3, -1])
    variables = GREY.init(jax.random.key(0), images, jax.nn.one_hot(labels, 3))
    actual = jax.jit(lambda variables: log_prob(GREY, variables, images, h=labels))(variables)
    np.testing.assert_allclose(actual, log_prob(GREY, variables, images, h=labels), rtol=1e-5)
    for its in ((GREY, variables), quantise(GREY, variables, images, h=labels)):
        actual = jax.jit(lambda labels, its=its: log_prob(*its, images, h=labels))(wrong)
        np.testing.assert_array_equal(np.isnan(actual), [False, True, True])
        for draw in (partial(verb, *its, jax.random.key(0), shape=(3, 3, 4)) for verb in (sample, naive_sample)):
            np.testing.assert_array_equal((jax.jit(draw)(h=wrong) < 0).all((1, 2, 3)), [False, True, True])


def test_a_dtype_need_not_hold_the_number_of_levels_or_classes():
    model, images, labels = GREY.clone(levels=256), np.full((2, 3, 4, 1), 255), np.array([3, 3])
    variables = randomised(model.init(jax.random.key(0), images, jax.nn.one_hot(labels, 300)), scale=0.1)
    small = log_prob(model, variables, images.astype(np.uint8), h=labels.astype(np.uint8))
    np.testing.assert_array_equal(small, log_prob(model, variables, images, h=labels))


class MeanAsMap(nn.Module):
    """A user's wrapper that leaks: the map of every pixel is the mean of the whole image."""

    network: GatedPixelCNN
    levels: int = 3
    channels: int = 2

    @nn.compact
    def __call__(self, images):
        mean = (-images).mean(axis=(1, 2, 3), keepdims=True, dtype=np.float32)
        return self.network(images, s=jnp.broadcast_to(mean, (*images.shape[:3], 1)))


def test_a_network_is_given_images_as_int32():
    model, images = MeanAsMap(GREY.clone(channels=2, levels=3)), np.ones((1, 3, 4, 2), np.int32)
    variables = randomised(model.init(jax.random.key(0), images))
    expected = log_prob(model, variables, images)
    for small in (images.astype(bool), images.astype(np.uint8)):
        np.testing.assert_allclose(log_prob(model, variables, small), expected, rtol=1e-5)
        np.testing.assert_allclose(-nll(model, variables, small), expected, rtol=1e-5)


class Copy(nn.Module):
    """Logits of each sub-pixel from the sub-pixel itself."""

    levels: int
    channels: int = 1

    @nn.compact
    def __call__(self, images):
        return nn.Dense(self.levels)(jax.nn.one_hot(images, self.levels))


class Slope(nn.Module):
    """Logits from the intensity of the sub-pixel itself."""

    levels: int
    gain: float
    channels: int = 1

    def __call__(self, images):
        slope = self.gain / (self.levels - 1) * images.astype(jnp.float32)
        return jnp.broadcast_to(slope[..., None], (*images.shape, self.levels))


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (Slope(levels=65536, gain=0.3), (1, 1, 2)),
        (Slope(levels=256, gain=0.002), (1, 1, 2)),
        (MeanAsMap(GatedPixelCNN(levels=3, channels=2, features=8, layers=1, first_kernel_size=3)), (2, 3, 3)),
        (Copy(levels=3), (1, 1, 2)),
    ],
)
def test_a_network_that_sees_what_it_predicts_is_found(model, shape):
    variables = randomised(model.init(jax.random.key(0), random_images(model, shape)))
    with pytest.raises(InputError, match=r"not causal.*\(0, 0, 0\).*depend on"):
        check_causal(model, variables, shape=shape)
