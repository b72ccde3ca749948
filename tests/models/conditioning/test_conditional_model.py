"""A network with its conditioner gives what the network gives with the conditioner's output."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from proofs import random_condition, random_images, randomised

from pixelcnn_jax import GatedPixelCNN, InputError, log_prob, naive_sample, sample
from pixelcnn_jax.likelihood import nll
from pixelcnn_jax.models.conditioning.conditional_model import ConditionalModel, ConstantCondition, part_of
from pixelcnn_jax.models.conditioning.encoders import Deconvolution, Upsampling
from pixelcnn_jax.models.conditioning.set_encoder import SetEncoder
from pixelcnn_jax.models.conditioning.text_encoder import TextEncoder
from pixelcnn_jax.models.inputs import ABSENT

NETWORK = GatedPixelCNN(levels=5, features=8, layers=2)
SHAPE = (3, 6, 4)
LABELS = jnp.eye(3)
SMALL = jax.random.randint(jax.random.key(3), (3, 3, 2, 1), 0, 5)
TOKENS = np.array([[1, 2], [2, 1], [1, 0]], np.int32)
SETS = jax.random.randint(jax.random.key(4), (3, 2, 6, 4, 1), 0, 5)
# name: (model, its h)
MODELS = {
    "map of a vector": (ConditionalModel(NETWORK, Deconvolution((6, 4, 3))), LABELS),
    "map of small images": (ConditionalModel(NETWORK, Upsampling(3, 5)), SMALL),
    "map of examples": (ConditionalModel(NETWORK, SetEncoder((6, 4, 3), 5, 2, (4, 6), 2)), SETS),
    "map of a sentence": (ConditionalModel(NETWORK, TextEncoder((6, 4, 3), ("a", "b"), 8, 2)), TOKENS),
    "constant": (ConditionalModel(NETWORK, ConstantCondition(4, 2)), None),
}


def build(name):
    model, h = MODELS[name]
    variables = randomised(model.init(jax.random.key(0), random_images(NETWORK, SHAPE), h))
    of_network = part_of(variables, "network")
    if name == "constant":
        return model, variables, h, of_network, dict(h=jnp.tile(jnp.eye(4)[2:3], (3, 1)))
    return model, variables, h, of_network, dict(s=model.conditioner.apply(part_of(variables, "conditioner"), h))


@pytest.mark.parametrize("name", MODELS)
def test_public_functions_take_it_in_place_of_the_network(name):
    model, variables, h, of_network, condition = build(name)
    images = np.asarray(random_images(NETWORK, SHAPE, key=2))
    expected = log_prob(NETWORK, of_network, images, **condition)
    np.testing.assert_array_equal(log_prob(model, variables, images, h=h), expected)
    np.testing.assert_allclose(jax.jit(lambda v: nll(model, v, images, h=h))(variables), -expected, rtol=1e-5)
    expected = sample(NETWORK, of_network, jax.random.key(1), shape=SHAPE, **condition)
    for sampler in (sample, naive_sample):
        np.testing.assert_array_equal(sampler(model, variables, jax.random.key(1), shape=SHAPE, h=h), expected)


@pytest.mark.parametrize(("name", "nothing"), [("map of a vector", 0), ("map of examples", ABSENT)])
def test_guidance_of_nothing_changes_nothing(name, nothing):
    """The two sides are then the same."""
    model, variables, h, *_ = build(name)
    plain, guided, other = (
        sample(model, variables, jax.random.key(0), shape=SHAPE, h=given, guidance=guidance)
        for given, guidance in ((jnp.full_like(h, nothing), 0.0), (jnp.full_like(h, nothing), 9.0), (h, 9.0))
    )
    np.testing.assert_array_equal(guided, plain)
    assert (other != plain).any()


def test_it_is_a_module_like_any_other():
    model, variables, h, *_ = build("map of a vector")
    images = random_images(NETWORK, SHAPE)
    logits = model.apply(variables, images, h)
    np.testing.assert_allclose(model.bind(variables)(images, h), logits, rtol=1e-5)
    for module, given in ((model, (h,)), (NETWORK, ())):
        assert "GatedPixelCNN" in module.tabulate(jax.random.key(0), images, *given)
    each = jnp.take_along_axis(jax.nn.log_softmax(logits), images[..., None], axis=-1)
    np.testing.assert_allclose(log_prob(model, variables, images, h=h), each.sum(axis=(1, 2, 3, 4)), rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "arguments", "field"),
    [
        ("map of a vector", {}, "h"),
        ("map of a vector", dict(h=LABELS[:2]), "h"),
        ("map of a vector", dict(h=LABELS, s=random_condition(SHAPE, s=3).s), "s"),
        ("constant", dict(h=LABELS), "h"),
        ("map of small images", dict(h=SMALL, guidance=1.0), "guidance"),
    ],
)
def test_refused_conditions(name, arguments, field):
    model, variables, *_ = build(name)
    with pytest.raises(InputError, match=f"^{field} must"):
        sample(model, variables, jax.random.key(0), shape=SHAPE, **arguments)


@pytest.mark.parametrize("index", [-1, 4])
def test_a_constant_condition_has_its_one_inside(index):
    with pytest.raises(InputError, match="index below it"):
        ConstantCondition(4, index).apply({}, 3)
