"""Attention: its memory may forget, it starts as nothing, and no array has a number for each pair of pixels."""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import build_model, matches_the_reference
from proofs import assert_same, random_images

from pixelcnn_jax import GatedPixelCNN, InputError, log_prob, quantise

SMALL = dict(levels=2, features=8, layers=3, first_kernel_size=3)
TALL = GatedPixelCNN(**SMALL, attention=1)
PREDICTION = GatedPixelCNN(levels=8, channels=3, features=9, layers=3, attention=2, mixture=2, linear_prediction=True)
pytestmark = pytest.mark.usefixtures("strict_dtypes")


@pytest.mark.parametrize(("model", "shape", "h", "s"), [(TALL, (36, 2), 0, 0), (PREDICTION, (4, 3), 2, 3)])
def test_a_memory_of_some_rows_is_enough(model, shape, h, s):
    model, variables, _, condition = build_model(model, shape, h, s, batch=2)
    assert len(np.unique(assert_same(model, variables, (2, *shape), condition))) > 1


def test_rows_out_of_reach_are_not_read():
    matches_the_reference(*build_model(TALL, (34, 2)))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_gradient_is_finite_and_that_of_layers_computed_again(dtype):
    model, variables, shape, _ = build_model(TALL.clone(dtype=dtype), (5, 4))
    images = random_images(model, (3, *shape))
    both = model, model.clone(remat=True)
    one, again = (jax.grad(lambda v, model=model: log_prob(model, v, images).sum())(variables) for model in both)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-3 * np.abs(x).max()), one, again)
    assert all(jnp.isfinite(x).all() for x in jax.tree.leaves(one))
    assert all(x.any() for x in jax.tree.leaves(one["params"]["attention"]))


def test_at_first_the_network_is_that_without_attention_at_any_size():
    old, variables, _, _ = build_model(GatedPixelCNN(**SMALL), (4, 4))
    new = TALL.init(jax.random.key(2), random_images(TALL, (1, 4, 4)))["params"]
    images = random_images(TALL, (2, 5, 9))
    begun = {"params": variables["params"] | {"attention": new["attention"]}}
    np.testing.assert_array_equal(TALL.apply(begun, images), old.apply(variables, images))


def test_no_array_has_a_number_for_each_pair_of_pixels():
    model, variables, shape, _ = build_model(TALL, (16, 16))
    images = random_images(model, (1, *shape))
    traced = str(jax.make_jaxpr(jax.grad(lambda v: log_prob(model, v, images).sum()))(variables))
    sizes = [math.prod(map(int, sizes.split(","))) for sizes in re.findall(r"f32\[([\d,]+)\]", traced)]
    assert max(sizes) == 8 * 16 * 16 * 16  # the rows 8 to 15 read


@pytest.mark.parametrize("attention", [-1, 3])
def test_an_attention_that_would_not_be_there_is_refused(attention):
    with pytest.raises(InputError, match="attention must be less than layers, 3"):
        GatedPixelCNN(**SMALL, attention=attention)


def test_the_integer_codec_refuses_it():
    model, variables, shape, _ = build_model(TALL, (4, 4))
    with pytest.raises(InputError, match="without attention"):
        quantise(model, variables, random_images(model, (2, *shape)))
