"""MNIST given its label, binarised at half: a row of samples a class.

Paper row: figures 3 and 8 show ImageNet's classes; no figure of the paper's is of MNIST.
Command: python -m experiments.class_conditional --config=configs/mnist_classes.py --workdir=runs/mnist_classes
  --config.classifier=runs/mnist_classifier (the workdir of configs/mnist_classifier.py, without which no one judges)
Result: not yet run.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.experiment = "class_conditional"
    config.dataset = "mnist"
    config.train_split = "train[:50000]"
    config.validation_split = "train[50000:]"
    config.binarize = "threshold"
    config.labels = True
    config.model.features = 32
    config.model.layers = 8
    config.model.head_features = 32
    config.batch_size = 32
    config.steps = 2_400
    config.learning_rate = 4e-3
    config.ema = 0.995
    config.eval_batch_size = 200
    config.eval_every = 600
    config.checkpoint_every = 200
    config.sample_rows = 10
    config.sample_columns = 10
    return config
