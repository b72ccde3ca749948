"""CIFAR-10 by the network of configs/cifar10_small.py with a mixture of logistics as output, and Muon.

Paper row: that of configs/cifar10_small.py.
Command: python -m experiments.train --config=configs/cifar10_mixture.py --workdir=runs/cifar10_mixture
Time: 93 minutes, 160,000 images (3.6 epochs), on one core of an AMD EPYC, shared at times (2026-11-26).
Result: test 3.283 bits/dim, validation 3.286, train 3.267 (1,000 images): the published model "cifar10_mixture".
Training and test images score alike, so the network underfits: more steps and more features should help.
"""

from ml_collections import ConfigDict

from configs import cifar10_small


def get_config(experiment: str = "unconditional") -> ConfigDict:
    config = cifar10_small.get_config(experiment)
    config.model.mixture = 8
    config.optimizer.name = "muon"
    config.optimizer.learning_rate = 7e-3
    config.optimizer.weight_decay = 0.1
    config.train.steps = 10_000
    config.train.ema_decay = 0.998
    config.train.eval_every = 1_000
    return config
