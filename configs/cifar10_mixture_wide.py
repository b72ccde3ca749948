"""CIFAR-10 by the recipe of configs/cifar10_mixture.py, wider and for four times as many images, in bfloat16.

Paper row: that of configs/cifar10_small.py. The best published model of at most 0.72 million parameters has 3.247
bits/dim (NeLLoC, 721,000 parameters).
Command: python -m experiments.train --config=configs/cifar10_mixture_wide.py --workdir=runs/cifar10_mixture_wide
Result: training.
"""

from ml_collections import ConfigDict

from configs import cifar10_mixture


def get_config(experiment: str = "unconditional") -> ConfigDict:
    config = cifar10_mixture.get_config(experiment)
    config.model.features = 64
    config.model.layers = 7
    config.model.head_features = 128
    config.model.mixture = 10
    config.model.dtype = "bfloat16"
    config.train.steps = 37_500
    config.train.ema_decay = 0.999
    config.train.eval_every = 2_500
    config.train.checkpoint_every = 500
    return config
