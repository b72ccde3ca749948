"""MNIST binarised at half, 14x14, by a variational auto-encoder: a latent of 16 numbers and a PixelCNN as its decoder.

Paper row: none. Section 4 names this as future work.
Command: python -m experiments.train --config=configs/mnist_vae.py --workdir=runs/mnist_vae
Time: 2 minutes on one core of an AMD EPYC (2026-11-25).
Result: on 1,000 test images a negative ELBO of 32.09 nats, 31.19 with 32 importance samples; KL 1.90 nats, 16 of 16
units active.
"""

from ml_collections import ConfigDict

from configs import mnist_half


def get_config() -> ConfigDict:
    config = mnist_half.get_config("vae")
    config.vae.bottleneck = 16
    config.vae.kl_warmup = 300
    config.vae.free_bits = 0.1
    config.vae.report_images = 1_000
    config.data.resize = 14
    config.model.layers = 3  # a decoder with a small receptive field leaves something to the latent
    config.model.first_kernel_size = 7
    config.train.microbatch_size = 8
    config.train.steps = 1_000
    return config
