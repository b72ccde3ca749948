"""CIFAR-10 of 32 levels through a bottleneck of m = 10 numbers, with a network that two CPU cores can carry.

Paper row: figure 6 shows ImageNet 32x32 at m = 10 and 100; the paper prints no number.
Command: python -m experiments.autoencoder --config=configs/cifar10_autoencoder.py --workdir=runs/cifar10_autoencoder
Result: test 2.958 bits/dim of 32 levels given h, 45.4 nats lost with another's, linear probe 33.0 % (squared error's
encoder 28.8 %), after 13 minutes on one core of an AMD EPYC with --config.at_once=2, 2026-11-25, while other work ran:
textures.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.experiment = "autoencoder"
    config.dataset = "cifar10"
    config.train_split = "train[:45000]"
    config.validation_split = "train[-2000:]"
    config.train_scored = 2_000
    config.bits = 5
    config.labels = True
    config.flip = True
    config.model.features = 48
    config.model.layers = 8
    config.model.head_features = 96
    config.bottleneck = 10
    config.batch_size = 32
    config.at_once = 4
    config.steps = 250
    config.learning_rate = 2e-3
    config.ema = 0.998
    config.eval_batch_size = 200
    config.eval_every = 250
    config.checkpoint_every = 200
    config.report_samples = 200
    config.sample_rows = 10
    config.sample_columns = 6
    return config
