"""The prior of the codes of configs/tokenizer.py.

Paper row: none; after the priors of 1711.00937 and 1906.00446.
Command: python -m experiments.train --config=configs/codes.py --workdir=runs/codes
  --config.data.data_dir=DIR (with pictures in it)
"""

from ml_collections import ConfigDict

from configs import tokenizer


def get_config() -> ConfigDict:
    return with_prior(tokenizer.get_config("codes"))


def with_prior(config: ConfigDict) -> ConfigDict:
    """Adds the prior to the settings of a tokenizer's data."""
    config.codes.update(tokenizer="runs/tokenizer", copies=2)  # each picture about once as it is and once mirrored
    # The numbers of codes mean nothing, so each has an embedding. Nine layers of 3x3 see most of 16x16 codes.
    config.model.update(features=64, layers=8, head_features=128, code_features=32, dropout=0.2)
    config.optimizer.learning_rate = 3e-3
    config.train.steps = 4_000
    return config
