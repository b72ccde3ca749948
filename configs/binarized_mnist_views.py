"""Binary MNIST from the published model "binarized_mnist_wide": images also turned, mirrored and moved, h says how.

Paper row: those of configs/binarized_mnist.py.
Command: python -m experiments.train --config=configs/binarized_mnist_views.py --workdir=runs/binarized_mnist_views
Time: 52 minutes, 192,000 images, after the 90 of binarized_mnist_wide, on one core of an AMD EPYC, at times shared
(2026-11-27).
Result: p(x) of unchanged images: test 80.22 nats, validation 80.60, train 79.24 (10,000 images): the published model
"binarized_mnist_views". The mean over the eight symmetries is worse, 80.87 (pixelcnn evaluate --mean-over=views):
each of the other views had a twentieth of the images.
"""

from ml_collections import ConfigDict

from configs import binarized_mnist_wide


def get_config() -> ConfigDict:
    config = binarized_mnist_wide.get_config()
    config.unconditional.augment = 0.75
    config.model.dtype = "bfloat16"
    config.optimizer.learning_rate = 2e-3
    config.train.start_from = "binarized_mnist_wide"
    config.train.steps = 6_000
    config.train.ema_decay = 0.999
    config.train.eval_every = 1_000
    return config
