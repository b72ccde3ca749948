"""Binary MNIST by a variational auto-encoder whose decoder starts as binarized_mnist_wide and sees the whole image.

Paper row: that of configs/binarized_mnist_vae.py.
Command: python -m experiments.train --config=configs/binarized_mnist_vae_wide.py --workdir=runs/vae_wide
  and, from its weights,
  python -m experiments.train --config=configs/binarized_mnist_vae_wide.py --workdir=runs/vae_wide_2
  --config.train.start_from=runs/vae_wide --config.train.steps=2400 --config.optimizer.learning_rate=2.5e-3
  --config.vae.free_nats=0.32
Time: 30 and 47 minutes (64,000 and 76,800 images) on one core of an AMD EPYC, shared at times (2026-11-26); then 16
minutes for scores and report.
Result: test negative ELBO 82.79 nats (83.77 after the first run). On 500 test images: negative ELBO 83.07, 80.53 with
256 importance samples (81.01), KL 11.73, 32 of 32 numbers active; binarized_mnist has 81.60 on them, and
binarized_mnist_wide 80.67.
"""

from ml_collections import ConfigDict

from configs import binarized_mnist_vae, binarized_mnist_wide


def get_config() -> ConfigDict:
    config = binarized_mnist_vae.get_config()
    config.model = binarized_mnist_wide.get_config().model
    config.vae.kl_warmup = 1
    config.vae.free_nats = 0.35  # of KL for each of 32 numbers: the decoder could do without any of them
    config.vae.unconditional = "binarized_mnist_wide"
    config.optimizer.learning_rate = 3e-3
    config.optimizer.weight_decay = 0.03
    config.optimizer.warmup_steps = 50
    config.train.start_from = "binarized_mnist_wide"
    config.train.microbatch_size = 4
    config.train.ema_decay = 0.998
    return config
