"""Every network is causal, complete, normalised, and computes what its paper says."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import CASES, COLOUR, GREY, NETWORKS, build, build_model, matches_the_reference
from proofs import as_on_an_accelerator, assert_complete, assert_normalised, random_images, receptive_field

from pixelcnn_jax import DiagonalBiLSTM, GatedPixelCNN

pytestmark = pytest.mark.usefixtures("strict_dtypes")

each_network = pytest.mark.parametrize("network", NETWORKS)


@pytest.mark.parametrize(("network", "name"), CASES)
def test_causal_and_complete(network, name):
    model, variables, shape, condition = build(network, name)
    assert not np.triu(receptive_field(model, shape)).any()  # so that what is complete, and no wider, is causal
    assert_complete(model, variables, shape, condition)


@pytest.mark.parametrize(("network", "name"), [case for case in CASES if case[1] != "bfloat16"])
def test_as_the_paper_says_pixel_by_pixel(network, name):
    matches_the_reference(*build(network, name))


@each_network
@pytest.mark.parametrize(
    ("attributes", "shape", "h", "s"),
    [
        (GREY, (2, 2), 0, 0),
        (COLOUR, (1, 3), 2, 3),
        (dict(levels=3, channels=2, features=8, layers=2, code_features=4), (2, 1), 2, 2),
    ],
)
def test_normalised(network, attributes, shape, h, s):
    assert_normalised(*build_model(network(**attributes), shape, h, s))


@each_network
def test_dropout_and_bfloat16(network):
    model = network(**GREY | dict(dropout=0.5, dtype=jnp.bfloat16))
    images = random_images(model, (2, 4, 3))
    variables = model.init(jax.random.key(0), images)
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("float32")}

    @jax.jit  # once for the three: compiling is what takes time
    def outputs(variables):
        dropped = model.apply(variables, images, deterministic=False, rngs={"dropout": jax.random.key(1)})
        exact = model.clone(dtype=jnp.float32).apply(variables, images)
        return model.apply(variables, images), exact, dropped

    plain, exact, dropped = outputs(variables)
    assert plain.dtype == dropped.dtype == jnp.float32
    assert 0 < jnp.abs(plain - exact).max() < 0.1
    assert (dropped != plain).any()


def test_logits_and_gradients_of_accelerators_are_those_of_cpus(monkeypatch):
    model, variables, shape, condition = build(GatedPixelCNN, "h and s")
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


@pytest.mark.parametrize("network", [n for n in NETWORKS if n is not DiagonalBiLSTM])
def test_bfloat16_is_the_type_of_products_alone_on_a_cpu(network):
    model = network(levels=4, features=16, layers=2, dtype=jnp.bfloat16)
    images, h = random_images(model, (2, 5, 4)), jax.nn.one_hot(jnp.arange(2), 3)
    variables = model.init(jax.random.key(0), images, h)

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
