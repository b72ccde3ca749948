"""CIFAR-10 by a network that a CPU core can carry for two hours: 8 layers of 48, beside its rivals on equal terms.

Paper row: 1606.05328 table 1 has 3.03 bits/dim after 32 GPUs' days, by a network many times as large.
Command: python -m experiments.unconditional --config=configs/cifar10_small.py --workdir=runs/cifar10_small
The same for a masked PixelCNN of as many parameters in as much time, --config.network=PixelCNN
--config.model.features=73 --config.steps=10500 --config.sample_columns=1, and for a mixture of logistics as output,
--config.model.mixture=8, each with a workdir of its own.
Result, each on one core of an AMD EPYC, 2026-11-25, both at once: test 3.690 bits/dim, validation 3.689, train 3.683 of
1,000, after 113 minutes, 208,000 images (weights "cifar10_small"); the masked PixelCNN test 3.693, validation 3.694,
after 119 minutes, 168,000 images (weights "cifar10_small_pixelcnn"). One Gaussian has 4.64 (experiments.floor). After
--config.steps=800, validated every 200: softmax 4.986 on validation in 14 minutes, mixture 4.707 in 11 (weights
"cifar10_small_mixture").
"""

from ml_collections import ConfigDict

from configs import cifar10


def get_config() -> ConfigDict:
    config = cifar10.get_config()
    config.validation_split = "train[-1000:]"
    config.train_scored = 1_000
    config.model.features = 48
    config.model.layers = 8
    config.model.head_features = 96
    config.batch_size = 16
    config.at_once = 2
    config.steps = 13_000
    config.learning_rate = 3e-3
    config.warmup_steps = 100
    config.ema = 0.99
    config.eval_batch_size = 128
    config.eval_every = 500
    config.checkpoint_every = 500
    config.sample_rows = 1
    config.sample_columns = 8  # a masked network is run again for each of 3,072 sub-pixels: 1 there
    return config
