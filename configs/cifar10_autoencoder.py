"""CIFAR-10 with 32 levels through a bottleneck of m = 10 numbers, by a network small enough for two CPU cores.

Paper row: figure 6 shows ImageNet 32x32 at m = 10 and 100; the paper prints no figure.
Command: python -m experiments.train --config=configs/cifar10_autoencoder.py --workdir=runs/cifar10_autoencoder
  --config.train.microbatch_size=2
Time: 13 minutes on one shared core of an AMD EPYC (2026-11-25).
Result: test 2.958 bits/dim given h, 45.4 nats more with a different image's h; linear probe 33.0 % (encoder trained on
MSE 28.8 %). The samples are textures.
"""

from ml_collections import ConfigDict

from experiments import default_config


def get_config(experiment: str = "autoencoder") -> ConfigDict:
    config = default_config(experiment)
    config.data.dataset = "cifar10"
    config.data.train_split = "train[:45000]"
    config.data.validation_split = "train[-2000:]"
    config.data.bits = 5
    config.data.labels = True
    config.data.flip = True
    config.model.features = 48
    config.model.layers = 8
    config.model.head_features = 96
    config.optimizer.learning_rate = 2e-3
    config.train.batch_size = 32
    config.train.microbatch_size = 4
    config.train.steps = 250
    config.train.ema_decay = 0.998
    config.train.eval_batch_size = 200
    config.train.eval_every = 250
    config.train.checkpoint_every = 200
    config.train.score_train_images = 2_000
    config.train.report_samples = 200
    config.train.sample_rows = 10
    config.train.sample_columns = 6
    return config
