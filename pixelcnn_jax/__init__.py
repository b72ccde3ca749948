"""Conditional image generation with PixelCNN decoders (van den Oord et al. 2016, arXiv 1606.05328) in JAX and Flax."""

from pixelcnn_jax.foundation import import_signals  # noqa: F401 (before slow imports)

# isort: split
import importlib
from typing import TYPE_CHECKING, Any

from pixelcnn_jax.causality import check_causal
from pixelcnn_jax.codec import compress, decompress, quantise
from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.likelihood import bits_per_dim, log_prob, nats
from pixelcnn_jax.models.gated_pixelcnn import GatedPixelCNN
from pixelcnn_jax.models.predecessors.pixelcnn import PixelCNN
from pixelcnn_jax.models.predecessors.pixelrnn import DiagonalBiLSTM, RowLSTM
from pixelcnn_jax.models.registry import register
from pixelcnn_jax.pretrained import load_pretrained, pretrained_names, save_pretrained
from pixelcnn_jax.sampling import naive_sample, sample, sample_and_log_prob

if TYPE_CHECKING:
    from pixelcnn_jax.training.evaluation import evaluate
    from pixelcnn_jax.training.fit import fit

__version__ = "0.1.0"

__all__ = [
    "DiagonalBiLSTM",
    "GatedPixelCNN",
    "InputError",
    "PixelCNN",
    "RowLSTM",
    "bits_per_dim",
    "check_causal",
    "compress",
    "decompress",
    "evaluate",
    "fit",
    "load_pretrained",
    "log_prob",
    "naive_sample",
    "nats",
    "pretrained_names",
    "quantise",
    "register",
    "sample",
    "sample_and_log_prob",
    "save_pretrained",
]

LATE = {"evaluate": "pixelcnn_jax.training.evaluation", "fit": "pixelcnn_jax.training.fit"}  # they need optax


def __getattr__(name: str) -> Any:
    """Imports ``evaluate`` and ``fit`` lazily (PEP 562)."""
    if name not in LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(LATE[name]), name)
