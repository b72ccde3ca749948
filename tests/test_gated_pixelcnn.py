"""What DESIGN calls provable, for the Gated PixelCNN: causal, complete, normalised, and Figure 2 as it is drawn."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from proofs import (
    assert_causal,
    assert_complete,
    assert_normalised,
    random_condition,
    random_images,
    randomised,
)
from reference import reference_logits

from pixelcnn_jax import GatedPixelCNN, InputError, bits_per_dim, compress, log_prob, sample
from pixelcnn_jax.models.autoregressive import encode
from pixelcnn_jax.models.gated_pixelcnn import forward
from pixelcnn_jax.models.inputs import Condition
from pixelcnn_jax.models.layers import dropout, window_product

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


def test_log_prob_is_the_sum_of_the_conditionals():
    model, variables, shape, _ = build("colour")
    images = random_images(model, (3, *shape))
    p = np.asarray(jax.nn.softmax(jax.jit(model.apply)(variables, images)))
    images = np.asarray(images)
    expected = [sum(np.log(p[b, *i, images[b, *i]]) for i in np.ndindex(*shape, 3)) for b in range(3)]
    np.testing.assert_allclose(log_prob(model, variables, images), expected, rtol=1e-5)
    np.testing.assert_allclose(
        bits_per_dim(model, variables, images), -np.array(expected) / np.log(2) / (3 * 4 * 3), rtol=1e-5
    )


@pytest.mark.parametrize("out", [(5,), (2, 4)])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_convolution_and_a_matrix_product_are_the_same(out, stride, monkeypatch):
    window = jax.random.normal(jax.random.key(0), (2, 6, 7, 3))
    kernel = jax.random.normal(jax.random.key(1), (2, 3, 3, *out))
    flat, numbers = kernel.reshape(2, 3, 3, -1), ("NHWC", "HWIO", "NHWC")
    expected = jax.lax.conv_general_dilated(window, flat, (stride, stride), "VALID", dimension_numbers=numbers)
    here = window_product(window, kernel, stride=stride)
    as_on_an_accelerator(monkeypatch)
    for found in (here, window_product(window, kernel, stride=stride)):
        np.testing.assert_allclose(found, expected.reshape(*expected.shape[:3], *out), rtol=1e-4, atol=1e-5)


def as_on_an_accelerator(monkeypatch):
    """Whatever is traced from now on computes as on a GPU or TPU, as far as the code of this package goes."""
    monkeypatch.setattr(jax.lax, "platform_dependent", lambda *inputs, cpu, default: default(*inputs))


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


def test_dropout_keeps_the_mean():
    dropped = dropout(jax.random.key(0), 0.25, jnp.ones((40, 10, 10, 11)))
    np.testing.assert_allclose(jnp.unique(dropped), [0, 4 / 3], rtol=1e-6)
    np.testing.assert_allclose(dropped.mean(axis=(0, 1, 2)), np.ones(11), atol=0.05)
    np.testing.assert_allclose(dropped.mean(), 1, atol=0.01)


def test_bfloat16_computes_in_bfloat16_and_answers_in_float32():
    model = GatedPixelCNN(levels=4, features=16, layers=2, dtype=jnp.bfloat16)
    images = random_images(model, (2, 5, 4))
    variables = model.init(jax.random.key(0), images)
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    low, high = (jax.jit(m.apply)(variables, images) for m in (model, model.clone(dtype=jnp.float32)))
    assert low.dtype == jnp.float32
    assert 0 < jnp.abs(low - high).max() < 0.1
    hidden = jax.make_jaxpr(lambda x: forward(model, variables["params"], x, Condition()))(
        encode(model, variables["params"], images)
    )
    products = re.findall(r"(\w+)\[[\d,]*\] = dot_general", str(hidden))
    assert products.count("f32") == 1  # the last of the head
    assert products.count("bf16") == len(products) - 1 > 4


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (dict(kernel_size=4), "kernel_size must be odd"),
        (dict(first_kernel_size=1), "first_kernel_size must be odd"),
        (dict(levels=1), "levels must be"),
        (dict(levels=65537), "levels must be"),
        (dict(layers=0), "layers must be at least 1"),
        (dict(channels=0), "channels and layers"),
        (dict(channels=3, features=2), "features"),
        (dict(channels=3, head_features=2), "head_features"),
        (dict(dropout=1.0), "dropout"),
        (dict(dtype="float99"), "dtype"),
        (dict(code_features=-1), "code_features"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused(fields, told):
    with pytest.raises(InputError, match=told):
        GatedPixelCNN(**fields)


@pytest.mark.parametrize(
    ("made_with", "given", "told"),
    [
        (dict(h=3), {}, r"needs h of shape \[2, 3\]"),
        (dict(h=3), dict(h=np.zeros((2, 4), np.float32)), r"h must have shape \[2, 3\], not \[2, 4\]"),
        (dict(h=3), dict(h=np.zeros((1, 3), np.float32)), r"h must have shape \[2, 3\]"),
        (dict(h=3), dict(h=np.zeros((2, 3), np.int32)), "one-hot"),
        ({}, dict(h=np.zeros((2, 3), np.float32)), "h was given to a model that was initialised without"),
        (dict(s=2), {}, r"needs s of shape \[2, 3, 4, 2\]"),
        (dict(s=2), dict(s=np.zeros((2, 4, 3, 2), np.float32)), "s must have shape"),
        ({}, dict(s=np.zeros((2, 3, 4, 1), np.float32)), "s was given"),
    ],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_a_wrong_condition_is_refused(made_with, given, told):
    model = GatedPixelCNN(levels=2, features=8, layers=1)
    condition = random_condition((2, 3, 4), **made_with)
    images = random_images(model, (2, 3, 4))
    variables = model.init(jax.random.key(0), images, condition.h, condition.s)
    with pytest.raises(InputError, match=told):
        model.apply(variables, images, **given)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_condition_that_is_no_number_is_refused(value):
    model = GatedPixelCNN(levels=2, features=8, layers=1)
    images, h = np.zeros((1, 2, 2, 1), np.int32), np.zeros((1, 2), np.float32)
    variables = model.init(jax.random.key(0), images, h)
    h[0, 1] = value
    for work in (
        lambda: log_prob(model, variables, images, h=h),
        lambda: sample(model, variables, jax.random.key(0), shape=(1, 2, 2), h=h),
        lambda: compress(model, variables, images, h=h),
    ):
        with pytest.raises(InputError, match="h must be finite"):
            work()


@pytest.mark.parametrize(
    ("images", "told"),
    [
        (np.zeros((2, 3, 4, 3), np.int32), r"\[batch, height, width, 1\]"),
        (np.zeros((2, 3, 4), np.int32), r"\[batch, height, width, 1\]"),
        (np.zeros((2, 3, 4, 1), np.float32), "integers"),
        (np.full((2, 3, 4, 1), 2, np.int32), "values from 2 to 2"),
        (np.full((2, 3, 4, 1), -1, np.int32), "values from -1"),
    ],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_wrong_images_are_refused(images, told):
    model = GatedPixelCNN(levels=2, features=8, layers=1)
    variables = model.init(jax.random.key(0), np.zeros((1, 3, 4, 1), np.int32))
    with pytest.raises(InputError, match=told):
        log_prob(model, variables, images)
