"""Binary MNIST in two orders of the pixels: half of the images are rotated by 180 degrees, and h says which.

Paper row: those of configs/binarized_mnist.py.
Command: python -m experiments.train --config=configs/binarized_mnist_orders.py --workdir=runs/binarized_mnist_orders
Time: not yet known.
Result: not yet known.
"""

from ml_collections import ConfigDict

from configs import binarized_mnist_views


def get_config() -> ConfigDict:
    config = binarized_mnist_views.get_config()
    config.unconditional.augment = 0.5
    config.unconditional.views = (3,)  # rotated by 180 degrees: from the last pixel to the first
    config.model.dropout = 0.05
    config.train.start_from = "binarized_mnist_views"
    config.train.steps = 9_000
    config.train.eval_every = 1_500
    return config
