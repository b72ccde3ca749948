"""MNIST with all 256 levels by a network that one CPU core can carry for an hour or two: 8 layers of 32.

Paper row: none; the UvA tutorial's gated PixelCNN of 852,160 parameters has 0.820 (JAX) and 0.808 (PyTorch) bits/dim
after 150 epochs.
Command: python -m experiments.unconditional --config=configs/mnist_small.py --workdir=runs/mnist_small
Result: test 0.961 bits/dim (522.5 nats), validation 0.966, after 99 minutes, 320,000 images, on one core of an AMD
EPYC, 2026-11-25, while much other work ran; these are the weights "mnist_small". Training images have 0.966 too: more
steps and a wider network are what is left to add.
"""

from ml_collections import ConfigDict

from configs import mnist


def get_config() -> ConfigDict:
    config = mnist.get_config()
    config.validation_split = "train[-2000:]"
    config.train_scored = 2_000
    config.model.features = 32
    config.model.layers = 8
    config.model.first_kernel_size = 23
    config.batch_size = 16
    config.at_once = 2
    config.steps = 20_000
    config.learning_rate = 3e-3
    config.warmup_steps = 100
    config.ema = 0.998
    config.eval_every = 2_000
    config.checkpoint_every = 1_000
    return config
