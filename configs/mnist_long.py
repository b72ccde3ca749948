"""MNIST with all 256 levels: more training of the published "mnist" at a lower rate, in bfloat16, with a wider head.

Command: python -m experiments.train --config=configs/mnist_long.py --workdir=runs/mnist_long
"""

from ml_collections import ConfigDict

from configs import mnist


def get_config(experiment: str = "unconditional") -> ConfigDict:
    config = mnist.get_config(experiment)
    config.model.head_features = 128
    config.model.dtype = "bfloat16"
    config.optimizer.learning_rate = 1e-3
    config.train.start_from = "mnist"
    config.train.start_without = ("head",)
    config.train.steps = 37_500
    config.train.ema_decay = 0.999
    config.train.eval_every = 2_500
    return config
