"""Binary MNIST: more training of the published "binarized_mnist_wide" at a lower rate, with dropout, in bfloat16.

Paper row: those of configs/binarized_mnist.py.
Command: python -m experiments.train --config=configs/binarized_mnist_long.py --workdir=runs/binarized_mnist_long
"""

from ml_collections import ConfigDict

from configs import binarized_mnist_wide


def get_config() -> ConfigDict:
    config = binarized_mnist_wide.get_config()
    config.model.dropout = 0.1
    config.model.dtype = "bfloat16"
    config.optimizer.learning_rate = 1.5e-3
    config.train.start_from = "binarized_mnist_wide"
    config.train.steps = 5_000
    config.train.eval_every = 1_000
    return config
