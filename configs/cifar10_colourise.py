"""CIFAR-10 given the grey image, by the network of configs/cifar10_small.py.

Paper row: none.
Command: python -m experiments.train --config=configs/cifar10_colourise.py --workdir=runs/cifar10_colourise
Time: 16 minutes (14,400 images), and 3 for the scores, on one busy Intel Xeon core, 2026-11-29.
Result: test 2.552 bits/dim, validation 2.547, train 2.564 (1,000 images); 3.70 without the grey image
(docs/quick_training.md).
"""

from configs import ConfigDict, cifar10_small


def get_config() -> ConfigDict:
    config = cifar10_small.get_config("colourise")
    config.train.update(sample_rows=6, sample_columns=7)  # a grey image, five colourisations, and the original
    return config
