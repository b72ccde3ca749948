"""Binary MNIST from the published model "binarized_mnist_wide": images also turned, mirrored and moved, h says how.

Paper row: those of configs/binarized_mnist.py.
Command: two runs, the second from the weights of the first:
  python -m experiments.train --config=configs/binarized_mnist_views.py --workdir=runs/binarized_mnist_views and
  python -m experiments.train --config=configs/binarized_mnist_views.py --workdir=runs/binarized_mnist_views_2
  --config.train.start_from=runs/binarized_mnist_views --config.unconditional.augment=0.85
  --config.model.dropout=0.05 --config.train.steps=7000 --config.train.eval_every=1750
Time: 52 and 51 minutes, 192,000 and 224,000 images, after the 90 minutes of binarized_mnist_wide, on one core of an AMD
EPYC, at times shared (2026-11-27 and 28).
Result: p(x) of unchanged images: test 80.13 nats, validation 80.51, train 79.53 (10,000 images): the published model
"binarized_mnist_views". The first run has 80.22, 80.60 and 79.24; 1,500 steps from it in float32, without dropout and
at a rate of 0.0005, overfitted: 80.24 and 80.63. The mean over the eight symmetries is worse, 80.59 (pixelcnn evaluate
--mean-over=views), 80.87 after the first run: each of the other views had some twentieth of the images. Two views in
place of sixteen are better: configs/binarized_mnist_orders.py.
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
