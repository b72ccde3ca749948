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


def test_proofs_hold_in_programs_that_xla_optimises():
    """Likelihoods and files are tested so, too: test_evaluate.py, test_coding.py."""
    root = Path(__file__).parents[1]
    environment = os.environ | {"XLA_FLAGS": "", "PYTHONPATH": f"{root}:{root / 'tests'}"}
    done = subprocess.run([sys.executable, "-c", CODE], cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
