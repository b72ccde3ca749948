"""CIFAR-10 by class: the prior of the 8x8 codes of configs/cifar10_tokenizer.py.

Paper row: none.
Command: python -m experiments.train --config=configs/cifar10_codes.py --workdir=runs/cifar10_codes
"""

from ml_collections import ConfigDict

from configs import cifar10_tokenizer, codes


def get_config() -> ConfigDict:
    config = codes.with_prior(cifar10_tokenizer.get_config("codes"))
    config.data.labels = True
    config.codes.tokenizer = "runs/cifar10_tokenizer"
    config.train.update(steps=8_000, eval_every=1_000, sample_rows=10, sample_columns=10)
    return config
