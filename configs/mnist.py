"""MNIST with all 256 levels: 28x28 grey, network R of 0.65M parameters.

Paper row: none; the UvA tutorial's gated PixelCNN has 0.820 (JAX) and 0.808 (PyTorch) bits/dim after 150 epochs.
Command: python -m experiments.unconditional --config=configs/mnist.py --workdir=runs/mnist
Result: not yet run.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.dataset = "mnist"
    config.train_split = "train[:50000]"
    config.validation_split = "train[50000:]"
    config.model.features = 64
    config.model.layers = 7
    config.model.head_features = 64
    config.batch_size = 32
    config.steps = 100_000
    config.learning_rate = 1e-3
    config.warmup_steps = 500
    config.eval_batch_size = 128
    config.eval_every = 2_000
    config.checkpoint_every = 500
    config.published = (
        ("UvA tutorial 12, JAX", "test", "bits/dim", 0.820),
        ("UvA tutorial 12, PyTorch", "test", "bits/dim", 0.808),
    )
    return config
