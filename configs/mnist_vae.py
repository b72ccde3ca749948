"""MNIST binarised at half, 14x14, by a variational auto-encoder with a code of 16 numbers and a PixelCNN as decoder.

Paper row: none; its section 4 names this as what comes next.
Command: python -m experiments.vae --config=configs/mnist_vae.py --workdir=runs/mnist_vae
Result: of 1,000 test images a negative ELBO of 32.09 nats, 31.19 by 32 weighed codes, KL 1.90,
16 active units of 16, after 2 minutes on one core of an AMD EPYC, 2026-11-25.
"""

from ml_collections import ConfigDict

from configs import mnist_half


def get_config() -> ConfigDict:
    config = mnist_half.get_config()
    config.experiment = "vae"
    config.resize = 14
    config.model.layers = 3  # a decoder that sees little leaves something to the code
    config.model.first_kernel_size = 7
    config.bottleneck = 16
    config.kl_warmup = 300
    config.free_nats = 0.1
    config.batch_size = 32
    config.at_once = 8
    config.steps = 1_000
    config.eval_every = 500
    config.report_images = 1_000
    return config
