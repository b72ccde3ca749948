"""CIFAR-10 given its label: the network of configs/cifar10.py, a row of samples a class.

Paper row: figures 3 and 8 show ImageNet's classes. The label is worth at most 0.0011 bits/dim.
Command: python -m experiments.class_conditional --config=configs/cifar10_classes.py --workdir=runs/cifar10_classes
Result: not yet run.
"""

from ml_collections import ConfigDict

from configs import cifar10


def get_config() -> ConfigDict:
    config = cifar10.get_config()
    config.experiment = "class_conditional"
    config.labels = True
    config.sample_rows = 10
    config.published = ()
    return config
