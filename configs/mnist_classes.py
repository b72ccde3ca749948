"""MNIST binarised at half, given its label: a row of samples per class.

Paper row: figures 3 and 8 show classes of ImageNet; the paper has no figure of MNIST.
Command: python -m experiments.train --config=configs/mnist_classes.py --workdir=runs/mnist_classes
  --config.train.microbatch_size=2
  --config.class_conditional.classifier=runs/mnist_classifier (the workdir of configs/mnist_classifier.py; without it
  the class accuracy of samples is not measured)
Time: 37 minutes on one shared core of an AMD EPYC (2026-11-25).
Result: test 54.73 nats (0.1007 bits/dim), 2.24 of them due to the label; Bayes accuracy 98.4 %; class accuracy of 1,000
samples 96.4 %: the published model "mnist_classes". After 2,500 steps 55.34 nats and 94.6 %; with a first filter of 7x7
and 4,000 steps 57.25 nats and 85.0 %.
"""

from ml_collections import ConfigDict

from configs import mnist_half


def get_config(experiment: str = "class_conditional") -> ConfigDict:
    config = mnist_half.get_config(experiment)
    config.data.labels = True
    config.train.steps = 4_000
    config.train.eval_every = 1_000
    config.train.sample_rows = 10
    config.train.sample_columns = 10
    return config
