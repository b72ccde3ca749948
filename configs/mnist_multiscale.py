"""MNIST binarised at half, 14x14 and then 28x28 given it, both given the label: a step costs 1.13 of mnist_classes.

Paper row: figure 7 shows ImageNet at 64x64 after 32x32; the paper prints no number.
Command: python -m experiments.multiscale --config=configs/mnist_multiscale.py --workdir=runs/mnist_multiscale
  --config.single_scale=runs/mnist_classes_2500 --config.classifier=runs/mnist_classifier (workdirs of mnist_classes
  with --config.steps=2500, to compare with, and of mnist_classifier, to judge the samples by)
Result: test 56.74 nats (24.79 of 14x14, 31.95 of the rest), 1.39 more than one scale after 2,500 steps; 93.7 % of 1,000
samples are of their class; after 38 minutes on one core of an AMD EPYC with --config.at_once=2, 2026-11-25, while other
work ran.
"""

from ml_collections import ConfigDict

from configs import mnist_classes


def get_config() -> ConfigDict:
    config = mnist_classes.get_config()
    config.experiment = "multiscale"
    config.model.layers = 6  # and 8 at a quarter of the pixels: together as many products as 8
    config.small_layers = 8
    config.map_features = 16
    config.steps = 1_800
    config.eval_every = 600
    return config
