"""MNIST binarised at half by an auto-encoder, m = 10, or 100 with --config.autoencoder.bottleneck=100.

Paper row: figure 6 (ImageNet 32x32, m = 10 and 100), no numbers.
Command: python -m experiments.train --config=configs/mnist_autoencoder.py --workdir=runs/mnist_autoencoder
  --config.train.microbatch_size=2
Time: 30 minutes for m = 10, 19 for m = 100, one shared AMD EPYC core, 2026-11-25.
Result: m = 10: test 39.85 nats, 19.61 fewer than configs/mnist_half.py; linear probe 89.4 % (MSE encoder 90.9 %).
m = 100: 7.68 nats, 51.78 fewer; linear probe 90.2 % (90.5 %).
With V h (--config.autoencoder.map_features=0): m = 10, 48.90 nats, linear probe 91.8 %; m = 100 with
--config.train.steps=1000, 45.72 nats, linear probe 97.4 % (91.0 %).
"""

from ml_collections import ConfigDict

from configs import mnist_half


def get_config() -> ConfigDict:
    config = mnist_half.get_config("autoencoder")
    config.autoencoder.map_features = 16  # h encodes position
    config.data.labels = True
    config.train.update(steps=1_500, report_samples=200, sample_rows=10, sample_columns=6)
    return config
