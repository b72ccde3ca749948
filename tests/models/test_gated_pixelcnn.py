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

from pixelcnn_jax import GatedPixelCNN, PixelCNN, RowLSTM

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
PROVED = VARIANTS | {
    "bfloat16": (GatedPixelCNN(levels=2, channels=3, features=24, layers=1, dtype=jnp.bfloat16), (3, 2), 5, 3),
}


def build(name):
    model, shape, h, s = PROVED[name]
    condition = random_condition((1, *shape), h, s)
    images = random_images(model, (1, *shape))
    variables = model.init(jax.random.key(1), images, condition.h, condition.s)
    return model, randomised(variables, scale=0.1), shape, condition


@pytest.mark.parametrize("name", PROVED)
def test_causal(name):
    assert_causal(*build(name))


@pytest.mark.parametrize("name", PROVED)
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
    actual = jax.jit(model.apply)(variables, image, condition.h, condition.s)[0]
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


def test_logits_and_gradients_of_accelerators_are_those_of_cpus(monkeypatch):
    model, variables, shape, condition = build("h and s")
    image = random_images(model, (1, *shape))

    def traced_anew():
        def summed(variables):
            logits = model.apply(variables, image, condition.h, condition.s)
            return jnp.sum(jnp.sin(logits)), logits

        return jax.jit(jax.value_and_grad(summed, has_aux=True))

    on_cpu = traced_anew().lower(variables)
    as_on_an_accelerator(monkeypatch)
    elsewhere = traced_anew().lower(variables)
    assert ["convolution" in lowered.as_text() for lowered in (on_cpu, elsewhere)] == [False, True]
    jax.tree.map(
        partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4),
        elsewhere.compile()(variables),
        on_cpu.compile()(variables),
    )


def test_dropout_is_off_unless_asked_for():
    model = GatedPixelCNN(levels=2, features=16, layers=1, dropout=0.5)
    images = random_images(model, (1, 4, 4))
    variables = model.init(jax.random.key(0), images)
    plain = jax.jit(model.clone(dropout=0.0).apply)(variables, images)
    np.testing.assert_array_equal(jax.jit(model.apply)(variables, images), plain)
    dropped = jax.jit(partial(model.apply, deterministic=False))(variables, images, rngs={"dropout": jax.random.key(1)})
    assert (dropped != plain).any()


@pytest.mark.parametrize("network", [GatedPixelCNN, PixelCNN, RowLSTM])
def test_bfloat16_is_the_type_of_products_alone_on_a_cpu(network):
    model = network(levels=4, features=16, layers=2, dtype=jnp.bfloat16)
    images, h = random_images(model, (2, 5, 4)), jax.nn.one_hot(jnp.arange(2), 3)
    variables = model.init(jax.random.key(0), images, h)
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    low, high = (jax.jit(m.apply)(variables, images, h) for m in (model, model.clone(dtype=jnp.float32)))
    assert low.dtype == jnp.float32
    assert 0 < jnp.abs(low - high).max() < 0.1

    def loss(model):
        return jax.jit(jax.grad(lambda variables: model.apply(variables, images, h)[..., 0].sum()))

    for platform, results in (("cpu", {"f32"}), ("tpu", {"f32", "bf16"})):
        text = loss(model).trace(variables).lower(lowering_platforms=(platform,)).as_text()
        tensor = r"tensor<[^>]*x(\w+)>"
        types = re.findall(rf"(?:dot_general|convolution).*: \({tensor}, {tensor}\) -> {tensor}", text)
        assert len(types) > 16
        assert {result for *_, result in types} == results
        if platform == "cpu":  # elsewhere the gradient of the logits is float32
            assert {operand for *operands, _ in types for operand in operands} == {"bf16"}
    gradients = (jax.tree.leaves(loss(m)(variables)) for m in (model, model.clone(dtype=jnp.float32)))
    for low, high in zip(*gradients, strict=True):
        assert jnp.linalg.norm(low - high) <= 0.1 * jnp.linalg.norm(high) + 1e-6
