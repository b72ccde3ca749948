"""CIFAR-10 with 32 levels by an auto-encoder whose h has m = 10 entries, small enough for two CPU cores.

Paper row: figure 6 (ImageNet 32x32, m = 10 and 100), no numbers.
Command: python -m experiments.train --config=configs/cifar10_autoencoder.py --workdir=runs/cifar10_autoencoder
  --config.train.microbatch_size=2
Time: 14 minutes, one shared Intel Xeon core, 2026-11-29.
Result: test 2.922 bits/dim given h, 44.9 nats more given another image's h. A linear classifier of h recognises 31.5 %
of the test images; with the h of an auto-encoder that was trained on squared error, 26.0 %. Samples are textures.
"""

from configs import ConfigDict, cifar10_full


def get_config(experiment: str = "autoencoder") -> ConfigDict:
    config = cifar10_full.get_config(experiment)
    config.data.update(validation_split="train[-2000:]", bits=5, labels=True)
    config.model.update(features=48, layers=8, head_features=96)
    config.optimizer.update(learning_rate=2e-3, warmup_steps=100)
    config.train.update(microbatch_size=4, steps=250, ema_decay=0.998, eval_every=250, checkpoint_every=200)
    config.train.update(eval_batch_size=200, score_train_images=2_000)
    config.train.update(report_samples=200, sample_rows=10, sample_columns=6)
    return config
