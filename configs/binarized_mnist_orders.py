"""Binary MNIST in two orders of the pixels: half of the images are rotated by 180 degrees, and h says which.

Goes on from the published model "binarized_mnist_views", which had images in sixteen views.

Paper row: those of configs/binarized_mnist.py.
Command: python -m experiments.train --config=configs/binarized_mnist_orders.py --workdir=runs/binarized_mnist_orders
Time: 69 minutes (288,000 images) on one core of an AMD EPYC (2026-11-28), after the 193 of binarized_mnist_views.
Result: p(x) of unchanged images: test 79.97 nats, validation 80.34, train 79.35 (10,000 images): the published model
"binarized_mnist_orders". The mean of p(x) and p(rotated x), which is a density too, has 79.55 on test
(pixelcnn evaluate binarized_mnist_orders --mean-over=views).
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
