"""CIFAR-10 given its grey version: the network of configs/cifar10_mixture.py, whose picture colours images again.

Paper row: none.
Command: python -m experiments.train --config=configs/cifar10_colourise.py --workdir=runs/cifar10_colourise
Result: not yet run.
"""

from ml_collections import ConfigDict

from configs import cifar10_mixture


def get_config() -> ConfigDict:
    config = cifar10_mixture.get_config("colourise")
    config.optimizer.learning_rate = 1e-2
    config.train.steps = 2_000
    config.train.ema_decay = 0.995
    config.train.sample_rows = 6
    config.train.sample_columns = 7  # a grey image, five colourisations, and the original
    return config
