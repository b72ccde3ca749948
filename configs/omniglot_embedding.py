"""Omniglot's characters as identities, 28x28: trained on the alphabets of small1, measured on ones that it never saw.

Paper row: section 3.3 embeds faces so; the paper prints no number.
Command: python -m experiments.embedding --config=configs/omniglot_embedding.py --workdir=runs/omniglot_embedding
Result: of 106 unseen characters AUC 0.979, EER 0.071, verification rate 0.642 at FAR 0.01, after 12 minutes on one core
of an AMD EPYC, 2026-11-25, while other work ran.
"""

from ml_collections import ConfigDict

from configs import base

UNSEEN = "small2 where alphabet is Japanese_(katakana) or Sanskrit or Tagalog"  # no alphabet of small1's


def get_config() -> ConfigDict:
    config = base.get_config()
    config.experiment = "embedding"
    config.dataset = "omniglot"
    config.train_split = "small1[:90%]"
    config.validation_split = "small1[90%:]"
    config.test_split = UNSEEN
    config.grey = True
    config.invert = True
    config.resize = 28
    config.binarize = "threshold"
    config.labels = True
    config.turn = True
    config.bottleneck = 64
    config.per_class = 4
    config.shift = 2
    config.batch_size = 128
    config.steps = 3_000
    config.eval_batch_size = 128
    config.sample_rows = 10
    config.sample_columns = 10
    return config
