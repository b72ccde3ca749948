"""MNIST binarised at half by an auto-encoder, m = 10, or 100 with --config.autoencoder.bottleneck=100.

Paper row: figure 6 (ImageNet 32x32, m = 10 and 100), no numbers.
Command: python -m experiments.train --config=configs/mnist_autoencoder.py --workdir=runs/mnist_autoencoder
  --config.train.microbatch_size=2
Time: 47 minutes for m = 10, 40 for m = 100, 24 for V h, one shared AMD EPYC core, 2026-11-29.
Result: m = 10: test 40.02 nats, 19.44 fewer than configs/mnist_half.py; linear probe 88.3 % (MSE encoder 91.0 %).
m = 100, seeds 0 and 1: 12.45 and 8.68 nats; linear probe 92.1 and 90.3 % (91.3, 91.2 %). m = 100 with V h
(--config.autoencoder.map_features=0) and --config.train.steps=1000: 45.65 nats, 13.81 fewer; linear probe 97.1 %
(91.7 %).
"""

from configs import ConfigDict, mnist_half


def get_config() -> ConfigDict:
    config = mnist_half.get_config("autoencoder")
    config.autoencoder.map_features = 16  # h encodes position
    config.data.labels = True
    config.train.update(steps=1_500, report_samples=200, sample_rows=10, sample_columns=6)
    return config
