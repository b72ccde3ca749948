"""CIFAR-10: more training of the published "cifar10_mixture_wide" at a lower rate, with a new head.

Command: python -m experiments.train --config=configs/cifar10_mixture_long.py \\
  --workdir=runs/cifar10_mixture_long
At the rate of that model, 0.007, three quarters of the units of its head died: their ReLU is 0 in every image. So the
head starts again, twice as wide.
"""

from ml_collections import ConfigDict

from configs import cifar10_mixture_wide


def get_config(experiment: str = "unconditional") -> ConfigDict:
    config = cifar10_mixture_wide.get_config(experiment)
    config.model.head_features = 256
    config.optimizer.learning_rate = 1e-3
    config.train.start_from = "cifar10_mixture_wide"
    config.train.start_without = ("head",)
    config.train.steps = 15_000
    config.train.eval_every = 1_500
    return config
