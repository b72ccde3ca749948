"""Omniglot's characters as identities, 28x28: trained on the alphabets of small1, measured on other alphabets.

Paper row: section 3.3 embeds faces; the paper prints no figure.
Command: python -m experiments.train --config=configs/omniglot_embedding.py --workdir=runs/omniglot_embedding
Time: 12 minutes on one shared core of an AMD EPYC (2026-11-25).
Result: on 106 unseen characters AUC 0.979, equal error rate 0.071, verification rate 0.642 at a false accept rate of
0.01.
"""

from ml_collections import ConfigDict

from experiments import default_config

UNSEEN = "small2 where alphabet is Japanese_(katakana) or Sanskrit or Tagalog"  # none of them is in small1


def get_config(experiment: str = "embedding") -> ConfigDict:
    config = default_config(experiment)
    config[experiment].bottleneck = 64
    config[experiment].rotate = True
    config.data.dataset = "omniglot"
    config.data.train_split = "small1[:90%]"
    config.data.validation_split = "small1[90%:]"
    config.data.test_split = UNSEEN
    config.data.grey = True
    config.data.invert = True
    config.data.resize = 28
    config.data.binarize = "threshold"
    config.data.labels = True
    config.data.images_per_class = 4
    config.data.shift = 2
    config.train.batch_size = 128
    config.train.steps = 3_000
    config.train.eval_batch_size = 128
    config.train.sample_rows = 10
    config.train.sample_columns = 10
    return config
