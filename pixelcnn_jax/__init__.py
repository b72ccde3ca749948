"""PixelCNN image models with exact likelihoods, in JAX and Flax (van den Oord et al. 2016, arXiv 1606.05328).

A model is a network and its variables. This example loads one, draws four images, and scores them::

    import jax
    from pixelcnn_jax import bits_per_dim, load_pretrained, sample

    model, variables, card = load_pretrained("digits")
    images = sample(model, variables, jax.random.key(0), shape=(4, 8, 8))
    bits_per_dim(model, variables, images)

By task:

- Load and save models: ``load_pretrained``, ``pretrained_names``, ``save_pretrained``.
- Train on an array of images: ``fit``.
- Draw and complete images: ``sample``, ``sample_and_log_prob``; ``naive_sample`` to check a network of your own.
- Score images: ``log_prob`` in nats, ``bits_per_dim``, ``evaluate`` for a test set with an interval, ``nll`` as a loss.
- Compress without loss: ``quantise`` makes an integer model, with which ``compress`` and ``decompress`` work.
- Measure the information in noisy images: ``information``.
- Networks: ``GatedPixelCNN`` and its predecessors ``PixelCNN``, ``RowLSTM`` and ``DiagonalBiLSTM``. For a network of
  your own: ``check_causal``, and ``register``, so that ``load_pretrained`` finds it.

An argument with a wrong value raises ``InputError``, whose message says what to change.
"""

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
    from pixelcnn_jax.sampling import naive_sample, sample, sample_and_log_prob
    from pixelcnn_jax.training.evaluation import evaluate
    from pixelcnn_jax.training.fit import fit
    from pixelcnn_jax.training.information import information
    from pixelcnn_jax.zoo.pretrained import load_pretrained, pretrained_names, save_pretrained
    from pixelcnn_jax.zoo.registry import register

__version__ = "0.1.0"

__all__ = ["DiagonalBiLSTM", "GatedPixelCNN", "InputError", "PixelCNN", "RowLSTM", "bits_per_dim", "check_causal"]
__all__ += ["compress", "decompress", "evaluate", "fit", "information", "load_pretrained", "log_prob", "naive_sample"]
__all__ += ["nll", "pretrained_names", "quantise", "register", "sample", "sample_and_log_prob", "save_pretrained"]
