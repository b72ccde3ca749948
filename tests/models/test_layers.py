"""The operations of the layers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from proofs import as_on_an_accelerator

from pixelcnn_jax.models.layers import dropout
from pixelcnn_jax.models.products import window_product

pytestmark = pytest.mark.usefixtures("strict_dtypes")


@pytest.mark.parametrize("out", [(5,), (2, 4)])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_convolution_and_a_matrix_product_are_the_same(out, stride, monkeypatch):
    window = jax.random.normal(jax.random.key(0), (2, 6, 7, 3))
    kernel = jax.random.normal(jax.random.key(1), (2, 3, 3, *out))
    flat, numbers = kernel.reshape(2, 3, 3, -1), ("NHWC", "HWIO", "NHWC")
    expected = jax.lax.conv_general_dilated(window, flat, (stride, stride), "VALID", dimension_numbers=numbers)
    on_cpu = window_product(window, kernel, stride=stride)
    as_on_an_accelerator(monkeypatch)
    for actual in (on_cpu, window_product(window, kernel, stride=stride)):
        np.testing.assert_allclose(actual, expected.reshape(*expected.shape[:3], *out), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("rate", "scale"), [(0.25, 4 / 3), (0.001, 256 / 255)])
def test_dropout_keeps_the_mean(rate, scale):
    dropped = dropout(jax.random.key(0), rate, jnp.ones((40, 10, 10, 11)))
    np.testing.assert_allclose(jnp.unique(dropped), [0, scale], rtol=1e-6)
    np.testing.assert_allclose(dropped.mean(axis=(0, 1, 2)), np.ones(11), atol=0.05)
    np.testing.assert_allclose(dropped.mean(), 1, atol=0.01)
