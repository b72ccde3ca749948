"""Programs that XLA optimises, as users run them: conftest.py leaves most of its passes out of the other tests."""

import os
import sys
from pathlib import Path

import pytest
from tiny_runs import finished

pytestmark = pytest.mark.long  # they guard against a jaxlib
CODE = """
from models import test_networks as networks, test_streaming as streaming
streaming.assert_same(*streaming.build(streaming.GatedPixelCNN, "colour"))
networks.test_causal_and_complete(streaming.GatedPixelCNN, "h and s")
networks.test_as_the_paper_says_pixel_by_pixel(streaming.GatedPixelCNN, "h and s")
"""
KNOWN = """
import jax, numpy as np
from proofs import randomised
from reference import reference_logits, reference_mixture
from scipy.special import softmax
from pixelcnn_jax import GatedPixelCNN, log_prob
model = GatedPixelCNN(levels=16, channels=3, features=9, layers=1, head_features=12, mixture={mixture})
images = np.random.default_rng(0).integers(0, 16, (2, 2, 1, 3, 3, 3))
params = randomised(model.init(jax.random.key(0), images[0, 0]))["params"]

def logits(params):
    outputs = np.stack([reference_logits(model, params, image) for image in images.reshape(4, 3, 3, 3)])
    return np.log(reference_mixture(outputs, 16) if model.mixture else softmax(outputs, axis=-1))

def nats(params):
    return np.take_along_axis(logits(params), images.reshape(4, 3, 3, 3, 1), -1).sum(axis=(1, 2, 3, 4))

apply = jax.vmap(jax.vmap(model.apply, (None, 0)), (None, 0))
actual = jax.nn.log_softmax(jax.jit(apply)(dict(params=params), images)).reshape(4, 3, 3, 3, 16)
np.testing.assert_allclose(actual, logits(params), rtol=1e-4, atol=1e-4)

many = np.tile(images.reshape(4, 3, 3, 3), (1000, 1, 1, 1))  # 36,000 pixels: beyond 32,768 rows, some have been wrong
mean = lambda params: ((values := log_prob(model, dict(params=params), many)).mean(), values)
gradient, values = jax.jit(jax.grad(mean, has_aux=True))(params)
np.testing.assert_allclose(values.reshape(1000, 4), np.tile(nats(params), (1000, 1)), rtol=1e-5)
direction = jax.tree.map(lambda x, generator=np.random.default_rng(1): generator.normal(size=x.shape), params)
moved = lambda step: jax.tree.map(lambda x, y: np.float64(x) + step * y, params, direction)
expected = (nats(moved(1e-5)).mean() - nats(moved(-1e-5)).mean()) / 2e-5
actual = sum(jax.tree.leaves(jax.tree.map(lambda x, y: (x * y).sum(), gradient, direction)))
np.testing.assert_allclose(actual, expected, rtol=1e-4)

linear, zeros = model.clone(channels=1, mixture=10, linear_prediction=True), np.zeros((2, 3, 1, 8, 8, 1), int)
slope = jax.grad(lambda params, images: log_prob(linear, params, images).sum())
jax.jit(jax.vmap(jax.vmap(slope, (None, 0)), (None, 0)))(linear.init(jax.random.key(0), zeros[0, 0]), zeros)
"""


def test_proofs_hold_in_programs_that_xla_optimises():
    """Likelihoods and files are tested so, too: test_evaluate.py, test_coding.py."""
    run(CODE)


def test_logits_likelihoods_and_gradients_are_those_of_numpy_in_float64():
    """Also under two vmaps: jaxlib 0.10.2 ends a process that sums products over one of seven or eight axes."""
    run("".join(KNOWN.replace("{mixture}", mixture) for mixture in "03"))


def run(code: str) -> None:
    root = Path(__file__).parents[1]
    environment = os.environ | {"XLA_FLAGS": "", "JAX_PLATFORMS": "cpu", "PYTHONPATH": f"{root}:{root / 'tests'}"}
    finished([sys.executable, "-c", code], env=environment)
