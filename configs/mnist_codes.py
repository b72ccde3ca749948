"""MNIST as maps of 64-way codes, 4x4 and then 8x8 given it, both given the label: a VQ-VAE's prior in small.

Paper row: none; its VQ-VAE successors (1711.00937, 1906.00446) are conditioned so.
Command: python -m experiments.codes --config=configs/mnist_codes.py --workdir=runs/mnist_codes
Result: test 55.25 nats of codes, 19.1 more with another label, 119.7 more with another image's coarse map, after 11
minutes on one core of an AMD EPYC, 2026-11-25, while other work ran.
"""

from ml_collections import ConfigDict

from configs import mnist_half


def get_config() -> ConfigDict:
    config = mnist_half.get_config()
    config.experiment = "codes"
    config.binarize = "none"
    config.resize = 32
    config.labels = True
    config.codes = 64
    config.model.code_features = 16
    config.model.features = 48
    config.model.layers = 4
    config.model.head_features = 64
    config.model.dropout = 0.1
    config.model.first_kernel_size = 3
    config.batch_size = 64
    config.at_once = 32
    config.eval_batch_size = 256
    config.sample_rows = 10
    config.sample_columns = 10
    return config
