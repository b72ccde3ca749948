"""Conditional image generation with PixelCNN decoders (van den Oord et al. 2016, arXiv 1606.05328) in JAX and Flax."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pixelcnn_jax.causality import check_causal
    from pixelcnn_jax.codec import compress, decompress, quantise
    from pixelcnn_jax.foundation.errors import InputError
    from pixelcnn_jax.likelihood import bits_per_dim, log_prob, nll
    from pixelcnn_jax.models.gated_pixelcnn import GatedPixelCNN
    from pixelcnn_jax.models.predecessors.pixelcnn import PixelCNN
    from pixelcnn_jax.models.predecessors.pixelrnn import DiagonalBiLSTM, RowLSTM
    from pixelcnn_jax.models.registry import register
    from pixelcnn_jax.pretrained import load_pretrained, pretrained_names, save_pretrained
    from pixelcnn_jax.sampling import naive_sample, sample, sample_and_log_prob
    from pixelcnn_jax.training.evaluation import evaluate
    from pixelcnn_jax.training.fit import fit
    from pixelcnn_jax.training.information import information

__version__ = "0.1.0"

__all__ = ["DiagonalBiLSTM", "GatedPixelCNN", "InputError", "PixelCNN", "RowLSTM", "bits_per_dim", "check_causal"]
__all__ += ["compress", "decompress", "evaluate", "fit", "information", "load_pretrained", "log_prob", "naive_sample"]
__all__ += ["nll", "pretrained_names", "quantise", "register", "sample", "sample_and_log_prob", "save_pretrained"]

# The module that defines each name.
HOMES = {
    "causality": ["check_causal"],
    "codec": ["compress", "decompress", "quantise"],
    "foundation.errors": ["InputError"],
    "likelihood": ["bits_per_dim", "log_prob", "nll"],
    "models.gated_pixelcnn": ["GatedPixelCNN"],
    "models.predecessors.pixelcnn": ["PixelCNN"],
    "models.predecessors.pixelrnn": ["DiagonalBiLSTM", "RowLSTM"],
    "models.registry": ["register"],
    "pretrained": ["load_pretrained", "pretrained_names", "save_pretrained"],
    "sampling": ["naive_sample", "sample", "sample_and_log_prob"],
    "training.evaluation": ["evaluate"],
    "training.fit": ["fit"],
    "training.information": ["information"],
}


def __getattr__(name: str) -> Any:
    """Imports a public name on first use (PEP 562), so that a command can handle signals before JAX is imported."""
    for module, names in HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"pixelcnn_jax.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Lists the public names, imported or not."""
    return sorted({*globals(), *__all__})
