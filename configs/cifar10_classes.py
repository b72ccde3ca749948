"""CIFAR-10 given its label: the network of configs/cifar10_mixture.py and its weights to begin with.

Paper row: figures 3 and 8 show classes of ImageNet. The label is worth at most 0.0011 bits/dim.
Command: python -m experiments.train --config=configs/cifar10_classes.py --workdir=runs/cifar10_classes
  --config.class_conditional.classifier=runs/cifar10_classifier (the workdir of configs/mnist_classifier.py with
  --config.data.dataset=cifar10 --config.data.binarize=none --config.data.flip --config.train.steps=6000
  --config.data.train_split='train[:45000]' --config.data.validation_split='train[45000:]')
Result: not yet run.
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
