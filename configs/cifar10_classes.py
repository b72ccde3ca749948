"""CIFAR-10 given its label: the network of configs/cifar10.py, with a row of samples per class.

Paper row: figures 3 and 8 show classes of ImageNet. The label is worth at most 0.0011 bits/dim.
Command: python -m experiments.train --config=configs/cifar10_classes.py --workdir=runs/cifar10_classes
Result: not yet run.
"""

from ml_collections import ConfigDict

from configs import cifar10


def get_config() -> ConfigDict:
    config = cifar10.get_config("class_conditional")
    config.data.labels = True
    config.train.sample_rows = 10
    return config
