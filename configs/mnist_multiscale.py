"""MNIST binarised at half, 14x14 and then 28x28 given it, at the cost of the one network of configs/mnist_half.py.

Paper row: none of MNIST; figure 7 shows ImageNet at 64x64 after 32x32.
Command: python -m experiments.multiscale --config=configs/mnist_multiscale.py --workdir=runs/mnist_multiscale
  --config.unconditional=runs/mnist_half (the workdir of configs/mnist_half.py, to compare with)
Result: not yet run.
"""

from ml_collections import ConfigDict

from configs import mnist_half


def get_config() -> ConfigDict:
    config = mnist_half.get_config()
    config.experiment = "multiscale"
    config.model.layers = 6  # and 8 at a quarter of the pixels: together as many products as 8
    config.small_layers = 8
    config.map_features = 16
    return config
