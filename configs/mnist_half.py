"""MNIST binarised at half, of no label: what the conditional models of the same data and size stand beside.

Paper row: none; not the binary MNIST of the published figures, which is configs/binarized_mnist.py.
Command: python -m experiments.unconditional --config=configs/mnist_half.py --workdir=runs/mnist_half
Result: test 59.36 nats (0.1092 bits/dim), validation 59.56, after 28 minutes on one core of an AMD EPYC with
--config.at_once=2, 2026-11-25, while other work ran; these are the weights "mnist_half". With a first filter of 7x7,
after 3,000 steps, it was 61.72.
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
