"""MNIST binarised at half through a bottleneck of m = 10 numbers; --config.bottleneck=100 for the other of figure 6.

Paper row: figure 6 shows ImageNet 32x32 at m = 10 and 100; the paper prints no number.
Command: python -m experiments.autoencoder --config=configs/mnist_autoencoder.py --workdir=runs/mnist_autoencoder
  --config.unconditional=mnist_half (weights to compare with, or the workdir of configs/mnist_half.py)
Result: m = 10: test 39.85 nats, 19.51 less than given nothing; linear probe 89.4 % (squared error's encoder 90.9 %),
after 30 minutes on one core of an AMD EPYC with --config.at_once=2, 2026-11-25, while much other work ran.
m = 100: 7.68 nats, 51.68 less; linear probe 90.2 % (90.5 %), after 19 minutes.
With V h in place of a map of h (--config.map_features=0): m = 10, 48.90 nats; linear probe 91.8 %; m = 100 with
--config.steps=1000, 45.72 nats; linear probe 97.4 % (91.0 %).
"""

from ml_collections import ConfigDict

from configs import mnist_half


def get_config() -> ConfigDict:
    config = mnist_half.get_config()
    config.experiment = "autoencoder"
    config.labels = True
    config.steps = 1_500
    config.eval_every = 500
    config.bottleneck = 10
    config.map_features = 16  # a code says where the ink is: h acts by place
    config.report_samples = 200
    config.sample_rows = 10
    config.sample_columns = 6
    return config
