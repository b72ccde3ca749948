"""Hyperparameters of a network, and its call."""

import flax
import jax
import numpy as np
import pytest
from networks import NETWORKS, build_model
from proofs import random_images

from pixelcnn_jax import GatedPixelCNN, InputError, RowLSTM
from pixelcnn_jax.models.conditioning.text_encoder import TextEncoder


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        (dict(kernel_size=4), "kernel_size"),
        (dict(first_kernel_size=1), "first_kernel_size"),
        (dict(layers=0), "layers"),
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
    [(dict(h=3), dict(h=np.zeros((1, 3), np.float32))), (dict(s=2), dict(s=np.zeros((2, 1, 4, 2), np.float32)))],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_conditions_that_would_be_broadcast_are_refused(made_with, given):
    model, variables, shape, condition = build_model(GatedPixelCNN(levels=2, features=8, layers=1), (3, 4), **made_with)
    images, (name,) = random_images(model, (2, *shape)), made_with
    with pytest.raises(InputError, match=rf"^{name} must be given"):
        model.apply(variables, images, **given)
    with pytest.raises(InputError, match=rf"^{name} must be given"):  # before there are parameters
        model.init(jax.random.key(0), images, **condition._asdict())


def test_variables_may_be_frozen():
    model = GatedPixelCNN(levels=3, features=8, layers=2)
    images = random_images(model, (2, 4, 3))
    variables = model.init(jax.random.key(0), images)
    np.testing.assert_array_equal(model.apply(flax.core.freeze(variables), images), model.apply(variables, images))


def compilations(function):
    """Counts the programs that a call compiles or reads from the cache."""
    actual = []

    def listen(event, *_, **__):
        actual.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        function()
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    return actual.count("/jax/core/compile/backend_compile_duration")


@pytest.mark.parametrize(
    ("module", "inputs"),
    [
        *((network(features=8, layers=1, dropout=0.5), np.ones((2, 3, 2, 1), np.int32)) for network in NETWORKS),
        (TextEncoder((2, 3, 4), words=("a", "b"), features=8), np.ones((1, 2), np.int32)),
    ],
)
def test_calls_outside_of_jit_compile_once(module, inputs):
    variables = module.init(jax.random.key(0), inputs)

    def calls():
        module.apply(variables, inputs)
        if hasattr(module, "dropout"):
            module.apply(variables, inputs, deterministic=False, rngs={"dropout": jax.random.key(1)})

    assert compilations(calls) > 0
    assert compilations(calls) == 0
