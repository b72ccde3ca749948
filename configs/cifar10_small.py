"""CIFAR-10 by a network that one CPU core trains in two hours: 8 layers of 48 features, and its rivals on equal terms.

Paper row: 1606.05328 table 1, 3.03 bits/dim after days on 32 GPUs, by a network many times as large.
Command: python -m experiments.train --config=configs/cifar10_small.py --workdir=runs/cifar10_small
Rivals, each with a workdir of its own: a masked PixelCNN of as many parameters in as much time,
  --config.model.network=PixelCNN --config.model.features=73 --config.train.steps=10500 --config.train.sample_columns=1
and a mixture of logistics as output, --config.model.mixture=8.
Time: 113 minutes, 208,000 images, and 119 minutes, 168,000 images, on one core of an AMD EPYC each (2026-11-25).
Result: gated: test 3.690 bits/dim, validation 3.689, train 3.683 (1,000 images), the published model "cifar10_small".
Masked: test 3.693, validation 3.694 ("cifar10_small_pixelcnn"). After
--config.train.steps=800 with a validation every 200: softmax 4.986 on validation in 14 minutes, mixture 4.707 in 11
("cifar10_small_mixture").
"""

from ml_collections import ConfigDict

from configs import cifar10


def get_config(experiment: str = "unconditional") -> ConfigDict:
    config = cifar10.get_config(experiment)
    config.data.validation_split = "train[-1000:]"
    config.model.features = 48
    config.model.layers = 8
    config.model.head_features = 96
    config.optimizer.learning_rate = 3e-3
    config.optimizer.warmup_steps = 100
    config.train.batch_size = 16
    config.train.microbatch_size = 2
    config.train.steps = 13_000
    config.train.ema_decay = 0.99
    config.train.eval_every = 500
    config.train.checkpoint_every = 500
    config.train.score_train_images = 1_000
    config.train.sample_rows = 1
    return config
