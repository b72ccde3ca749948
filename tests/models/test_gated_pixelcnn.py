"""The Gated PixelCNN is causal, complete, normalised, and computes Figure 2."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from proofs import (
    as_on_an_accelerator,
    assert_causal,
    assert_complete,
    assert_normalised,
    random_condition,
    random_images,
    randomised,
)
from reference import reference_logits

from pixelcnn_jax import GatedPixelCNN
from pixelcnn_jax.models.autoregressive import encode
from pixelcnn_jax.models.inputs import Condition

pytestmark = pytest.mark.usefixtures("strict_dtypes")

# name: (model, height and width, size of h, size of s)
VARIANTS = {
    "grey": (GatedPixelCNN(levels=3, features=8, layers=2), (5, 6), 0, 0),
    "colour": (GatedPixelCNN(levels=2, channels=3, features=25, layers=2, first_kernel_size=3), (3, 4), 0, 0),
    "wide kernels": (GatedPixelCNN(levels=2, features=8, layers=1, kernel_size=5, first_kernel_size=5), (7, 9), 0, 0),
    "shallow": (GatedPixelCNN(levels=2, features=8, layers=1, first_kernel_size=3), (6, 8), 0, 0),
    "two channels": (GatedPixelCNN(levels=4, channels=2, features=17, layers=1, head_features=19), (3, 3), 0, 0),
    "h": (GatedPixelCNN(levels=2, channels=3, features=24, layers=1), (3, 2), 5, 0),
    "s": (GatedPixelCNN(levels=2, features=8, layers=2), (3, 4), 0, 3),
    "h and s": (GatedPixelCNN(levels=2, channels=3, features=24, layers=1), (2, 3), 2, 3),
    "codes": (GatedPixelCNN(levels=7, channels=2, features=16, layers=1, code_features=3), (3, 3), 0, 0),
}


def build(name):
    model, shape, h, s = VARIANTS[name]
    condition = random_condition((1, *shape), h, s)
    images = random_images(model, (1, *shape))
    variables = model.init(jax.random.key(1), images, condition.h, condition.s)
    return model, randomised(variables, scale=0.1), shape, condition


@pytest.mark.parametrize("name", VARIANTS)
def test_causal(name):
    assert_causal(*build(name))


@pytest.mark.parametrize("name", VARIANTS)
def test_complete(name):
    assert_complete(*build(name))


@pytest.mark.parametrize(
    ("channels", "levels", "shape", "h", "s", "codes"),
    [
        (1, 2, (3, 3), 0, 0, 0),
        (1, 3, (2, 3), 2, 0, 0),
        (3, 2, (1, 3), 0, 2, 0),
        (2, 3, (2, 1), 2, 2, 4),
    ],
)
def test_normalised(channels, levels, shape, h, s, codes):
    model = GatedPixelCNN(levels=levels, channels=channels, features=8, layers=2, code_features=codes)
    condition = random_condition((1, *shape), h, s)
    variables = model.init(jax.random.key(0), random_images(model, (1, *shape)), condition.h, condition.s)
    assert_normalised(model, randomised(variables), shape, condition)


@pytest.mark.parametrize("name", VARIANTS)
def test_figure_2(name):
    model, variables, shape, condition = build(name)
    image = random_images(model, (1, *shape), key=2)
    expected = reference_logits(
        model,
        variables["params"],
        np.asarray(image[0]),
        *(None if value is None else np.asarray(value[0]) for value in condition),
    )
    found = jax.jit(model.apply)(variables, image, condition.h, condition.s)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_logits_and_gradients_of_accelerators_are_those_of_cpus(monkeypatch):
    model, variables, shape, condition = build("h and s")
    image = random_images(model, (1, *shape))

    def traced_anew():
        def summed(variables):
            logits = model.apply(variables, image, condition.h, condition.s)
            return jnp.sum(jnp.sin(logits)), logits

        return jax.jit(jax.value_and_grad(summed, has_aux=True))

    here = traced_anew().lower(variables)
    as_on_an_accelerator(monkeypatch)
    there = traced_anew().lower(variables)
    assert ["convolution" in lowered.as_text() for lowered in (here, there)] == [False, True]
    jax.tree.map(
        partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4),
        there.compile()(variables),
        here.compile()(variables),
    )


def test_dropout_is_off_unless_asked_for():
    model = GatedPixelCNN(levels=2, features=16, layers=1, dropout=0.5)
    images = random_images(model, (1, 4, 4))
    variables = model.init(jax.random.key(0), images)
    plain = jax.jit(model.clone(dropout=0.0).apply)(variables, images)
    np.testing.assert_array_equal(jax.jit(model.apply)(variables, images), plain)
    dropped = jax.jit(partial(model.apply, deterministic=False))(variables, images, rngs={"dropout": jax.random.key(1)})
    assert (dropped != plain).any()


def test_bfloat16_computes_in_bfloat16_and_answers_in_float32():
    model = GatedPixelCNN(levels=4, features=16, layers=2, dtype=jnp.bfloat16)
    images = random_images(model, (2, 5, 4))
    variables = model.init(jax.random.key(0), images)
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    low, high = (jax.jit(m.apply)(variables, images) for m in (model, model.clone(dtype=jnp.float32)))
    assert low.dtype == jnp.float32
    assert 0 < jnp.abs(low - high).max() < 0.1
    hidden = jax.make_jaxpr(lambda x: model.forward(variables["params"], x, Condition()))(
        encode(model, variables["params"], images)
    )
    products = re.findall(r"(\w+)\[[\d,]*\] = dot_general", str(hidden))
    assert products.count("f32") == 2  # the last of the head, in the form for CPUs and in that for accelerators
    assert products.count("bf16") == len(products) - 2 > 8
