"""Programs that XLA optimises, as users run them: conftest.py leaves most of its passes out of the other tests."""

import os
import subprocess
import sys
from pathlib import Path

CODE = """
from models import test_gated_pixelcnn as network, test_streaming as streaming
streaming.assert_same(*streaming.build(streaming.GatedPixelCNN, "colour"))
network.test_causal("h")
network.test_figure_2("h")
"""
GATES = """
import jax, jax.numpy as jnp
from pixelcnn_jax import GatedPixelCNN, sample
model = GatedPixelCNN(levels=4, features=8, layers=2)
variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 4, 4, 1), jnp.int32))
text = jax.jit(lambda key: sample(model, variables, key, shape=(16, 4, 4))).lower(jax.random.key(0)).compile().as_text()
kernels = [part for part in text.split("\\n\\n") if " tanh(" in part]
assert kernels and not any(" dynamic-slice(" in part for part in kernels), kernels
"""


def test_proofs_hold_in_programs_that_xla_optimises():
    """Likelihoods and files are tested so, too: test_evaluate.py, test_coding.py."""
    run(CODE)


def test_no_gate_looks_up_its_place_in_the_row():
    """XLA's CPU compiler would run such a gate number by number, and sampling would take a quarter longer."""
    run(GATES)


def run(code: str) -> None:
    root = Path(__file__).parents[1]
    environment = os.environ | {"XLA_FLAGS": "", "JAX_PLATFORMS": "cpu", "PYTHONPATH": f"{root}:{root / 'tests'}"}
    done = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
