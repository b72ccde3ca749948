"""Conditional image generation with PixelCNN decoders (van den Oord et al. 2016, arXiv 1606.05328) in JAX and Flax."""

from etils import epy

# Each name is imported on first use (PEP 562), so that a command can handle signals before JAX is imported.
with epy.lazy_api_imports(globals()):
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
