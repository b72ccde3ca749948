"""Hyperparameters of a network, and its call."""

import flax
import jax
import numpy as np
import pytest
from networks import NETWORKS, build_model
from proofs import random_images

from pixelcnn_jax import GatedPixelCNN, InputError, RowLSTM
from pixelcnn_jax.models.conditioning.text_encoder import TextEncoder
from pixelcnn_jax.models.inputs import Condition


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        (dict(kernel_size=4), "kernel_size"),
        (dict(first_kernel_size=1), "first_kernel_size"),
        (dict(levels=1), "levels"),
        (dict(levels=65537), "levels"),
        (dict(channels=3, features=2), "features"),
        (dict(channels=3, head_features=2), "head_features"),
        (dict(dropout=1.0), "dropout"),
        (dict(dtype="int8"), "dtype"),
        (dict(point_masses=True), "point_masses"),
        (dict(mixture=2, code_features=3), "mixture"),
    ],
)
def test_refused_hyperparameters(fields, name):
    with pytest.raises(InputError, match=f"^{name} must"):
        RowLSTM(**fields)


@pytest.mark.parametrize(
    ("made_with", "given"),
    [
        (dict(h=3), dict(h=np.zeros((1, 3), np.float32))),
        (dict(h=3), dict(h=np.zeros((2, 3), np.int32))),
        (dict(s=2), dict(s=np.zeros((2, 1, 4, 2), np.float32))),
    ],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_conditions_that_would_be_broadcast_or_rounded_are_refused(made_with, given):
    model, variables, shape, condition = build_model(GatedPixelCNN(levels=2, features=8, layers=1), (3, 4), **made_with)
    images, (name,) = random_images(model, (2, *shape)), made_with
    with pytest.raises(InputError, match=rf"^{name} must be given"):
        model.apply(variables, images, **given)
    with pytest.raises(InputError, match=rf"^{name} must be given"):  # before there are parameters
        model.init(jax.random.key(0), images, **condition._asdict())


def test_log_probs_are_those_of_the_logits():
    model = GatedPixelCNN(levels=4, features=8, layers=1)
    images = random_images(model, (2, 3, 4))
    variables = model.init(jax.random.key(0), images)
    expected = np.take_along_axis(np.asarray(jax.nn.log_softmax(model.apply(variables, images))), images[..., None], -1)
    actual = model.apply(variables, images, Condition(), method="log_probs")
    np.testing.assert_allclose(actual, expected[..., 0], rtol=1e-5)


def test_variables_may_be_frozen():
    model = GatedPixelCNN(levels=3, features=8, layers=2)
    images = random_images(model, (2, 4, 3))
    variables = model.init(jax.random.key(0), images)
    np.testing.assert_array_equal(model.apply(flax.core.freeze(variables), images), model.apply(variables, images))


def compilations(function):
    """Returns how many programs a call compiles, or reads from the cache of compiled programs."""
    actual = []

    def listen(event, *_, **__):
        actual.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        function()
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    return actual.count("/jax/core/compile/backend_compile_duration")


@pytest.mark.parametrize("network", NETWORKS)
def test_calls_outside_of_jit_compile_once(network):
    model = network(levels=2, features=8, layers=1, dropout=0.5)
    images, options = random_images(model, (2, 3, 2)), dict(deterministic=False, rngs={"dropout": jax.random.key(1)})
    variables = model.init(jax.random.key(0), images)

    def calls():
        model.apply(variables, images)
        model.apply(variables, images, **options)

    assert compilations(calls) > 0
    assert compilations(calls) == 0


def test_a_text_encoder_outside_of_jit_compiles_once():
    encoder, tokens = TextEncoder((2, 3, 4), words=("a", "b"), features=8), np.ones((1, 2), np.int32)
    variables = encoder.init(jax.random.key(0), tokens)
    assert compilations(lambda: encoder.apply(variables, tokens)) > 0
    assert compilations(lambda: encoder.apply(variables, tokens)) == 0
