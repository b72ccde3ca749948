"""MNIST binarised at half, 14x14, by a variational auto-encoder with a code of 16 numbers and a PixelCNN as decoder.

Paper row: none; its section 4 names this as what comes next.
Command: python -m experiments.vae --config=configs/mnist_vae.py --workdir=runs/mnist_vae
Result: not yet run.
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
    config.kl_warmup = 1_000
    config.free_nats = 0.1
    config.batch_size = 32
    config.at_once = 16
    config.steps = 3_000
    config.eval_every = 1_000
    config.report_images = 1_000
    return config
