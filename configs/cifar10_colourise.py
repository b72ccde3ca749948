"""CIFAR-10 given the grey image, by the network of configs/cifar10_small.py.

Paper row: none.
Command: python -m experiments.train --config=configs/cifar10_colourise.py --workdir=runs/cifar10_colourise
Time: 16 minutes (14,400 images), scores 3, one busy Intel Xeon core, 2026-11-29.
Result: test 2.552 bits/dim, validation 2.547, train 2.564 (1,000 images); 3.70 without the grey image
(docs/quick_training.md).
"""

from ml_collections import ConfigDict

from configs import cifar10_small


def get_config() -> ConfigDict:
    config = cifar10_small.get_config("colourise")
    config.optimizer.learning_rate = 1e-2  # as on the track "cifar10" of benchmarks/speedrun.py
    config.optimizer.warmup_steps = 50
    config.train.update(steps=900, ema_decay=0.99, eval_every=300, sample_rows=6)
    config.train.sample_columns = 7  # a grey image, five colourisations, and the original
    return config
