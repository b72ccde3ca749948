"""CIFAR-10 given its label: the network of configs/cifar10_mixture.py and its weights to begin with.

Paper row: figures 3 and 8 show classes of ImageNet. The label is worth at most 0.0011 bits/dim.
Command: python -m experiments.train --config=configs/cifar10_classes.py --workdir=runs/cifar10_classes
  --config.class_conditional.classifier=runs/cifar10_classifier (the workdir of configs/mnist_classifier.py with
  --config.data.dataset=cifar10 --config.data.binarize=none --config.data.flip --config.train.steps=6000
  --config.data.train_split='train[:45000]' --config.data.validation_split='train[45000:]')
Time: 30 minutes (48,000 images) on one shared core of an AMD EPYC (2026-11-26), and 13 for the classifier.
Result: test 3.345 bits/dim, validation 3.348, and not the 3.283 of the weights it began with: the kernels of the label
began at random, and 3,000 steps did not make up for it. They now begin at zero, which has not been run yet. Class
accuracy of 1,000 samples 20.3 %, by a classifier that is right on 77.3 % of the test images; 44 % and 58 % of 100
with guidance 2 and 4. Bayes accuracy 47.2 % of 500 test images. The published model "cifar10_classes".
"""

from ml_collections import ConfigDict

from configs import cifar10_mixture


def get_config() -> ConfigDict:
    config = cifar10_mixture.get_config("class_conditional")
    config.data.labels = True
    config.class_conditional.drop_condition = 0.1  # for guidance
    config.optimizer.warmup_steps = 50
    config.train.start_from = "cifar10_mixture"
    config.train.steps = 3_000
    config.train.eval_every = 1_000
    config.train.sample_rows = 10
    config.train.sample_columns = 8
    return config
