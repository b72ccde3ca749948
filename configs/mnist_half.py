"""MNIST binarised at half, of no label: what the conditional models of the same data and size stand beside.

Paper row: none; not the binary MNIST of the published figures, which is configs/binarized_mnist.py.
Command: python -m experiments.unconditional --config=configs/mnist_half.py --workdir=runs/mnist_half
Result: test 61.72 nats (0.1136 bits/dim), validation 61.86, after 16 minutes on two cores of an Intel Xeon,
2026-11-24, while other work ran.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.dataset = "mnist"
    config.train_split = "train[:50000]"
    config.validation_split = "train[-2000:]"
    config.train_scored = 2_000
    config.binarize = "threshold"
    config.model.features = 32
    config.model.layers = 8
    config.model.head_features = 32
    config.model.first_kernel_size = 23  # sees a digit's top from its bottom, and costs next to nothing on one channel
    config.batch_size = 32
    config.at_once = 4
    config.steps = 2_000
    config.learning_rate = 3e-3
    config.ema = 0.998
    config.eval_batch_size = 200
    config.eval_every = 500
    config.checkpoint_every = 500
    return config
