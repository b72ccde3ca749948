"""MNIST binarised at half by an auto-encoder whose h has m = 10 entries.

m = 100 by --config.autoencoder.bottleneck=100.

Paper row: figure 6 (ImageNet 32x32, m = 10 and 100), no numbers.
Command: python -m experiments.train --config=configs/mnist_autoencoder.py --workdir=runs/mnist_autoencoder
  --config.train.microbatch_size=2
Time: 47 minutes for m = 10, 40 for m = 100, 24 for the last row, one shared AMD EPYC core, 2026-11-29.
Result: test nats, and the accuracy of a linear classifier of h; in brackets, of the h of an auto-encoder trained on
squared error. configs/mnist_half.py, which has no h, has 59.46 nats.
- m = 10: 40.02 nats, 88.3 % (91.0 %)
- m = 100, seed 0: 12.45 nats, 92.1 % (91.3 %); seed 1: 8.68 nats, 90.3 % (91.2 %)
- m = 100, where the network reads h itself and no map of it (--config.autoencoder.map_features=0), with
  --config.train.steps=1000: 45.65 nats, 97.1 % (91.7 %)
"""

from configs import ConfigDict, mnist_half


def get_config() -> ConfigDict:
    config = mnist_half.get_config("autoencoder")
    config.autoencoder.map_features = 16  # h encodes position
    config.data.labels = True
    config.train.update(steps=1_500, report_samples=200, sample_rows=10, sample_columns=6)
    return config
