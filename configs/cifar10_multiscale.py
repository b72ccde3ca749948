"""CIFAR-10 of 32 levels, 16x16 and then 32x32 given it, with networks that two CPU cores can carry.

Paper row: none of CIFAR-10; figure 7 shows ImageNet at 64x64 after 32x32.
Command: python -m experiments.multiscale --config=configs/cifar10_multiscale.py --workdir=runs/cifar10_multiscale
Result: test 2.581 bits/dim of 32 levels, 0.760 of them for 16x16, after 33 minutes on one core of an AMD EPYC with
--config.at_once=2, 2026-11-25, while other work had half of it.
"""

from ml_collections import ConfigDict

from configs import cifar10_autoencoder


def get_config() -> ConfigDict:
    config = cifar10_autoencoder.get_config()
    config.experiment = "multiscale"
    config.labels = False
    config.steps = 400
    config.eval_every = 200
    config.model.layers = 6  # and 8 at a quarter of the pixels: together as many products as 8
    config.small_layers = 8
    config.map_features = 32
    config.sample_rows = 4
    config.sample_columns = 8
    return config
