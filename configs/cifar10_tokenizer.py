"""CIFAR-10 in squares of 4: 8x8 codes, of which there are 512.

Paper row: none.
Command: python -m experiments.train --config=configs/cifar10_tokenizer.py --workdir=runs/cifar10_tokenizer
"""

from ml_collections import ConfigDict

from configs import tokenizer


def get_config(experiment: str = "tokenizer") -> ConfigDict:
    config = tokenizer.get_config(experiment)
    config.data.update(dataset="cifar10", train_split="train[:49000]", validation_split="train[49000:]", resize=None)
    config.data.test_split = "test"
    config.train.update(steps=10_000, eval_every=1_000, report_images=10_000)
    return config
