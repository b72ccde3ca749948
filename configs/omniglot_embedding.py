"""Embedding of Omniglot characters, 28x28: trained on TFDS's split small1, measured on alphabets that are not in it.

Paper row: section 3.3 embeds faces, no numbers.
Command: python -m experiments.train --config=configs/omniglot_embedding.py --workdir=runs/omniglot_embedding
Time: 10 minutes, one shared Intel Xeon core, 2026-11-29.
Result, deciding whether two drawings show the same of 106 unseen characters: AUC 0.979, equal error rate 0.072; 64.4 %
of equal pairs are accepted where 1 % of unequal pairs are.
"""

from configs import ConfigDict, default_config


def get_config(experiment: str = "embedding") -> ConfigDict:
    config = default_config(experiment)
    config[experiment].update(bottleneck=64, rotate=True)
    config.data.update(dataset="omniglot", train_split="small1[:90%]", validation_split="small1[90%:]")
    # None of these alphabets is in small1.
    config.data.test_split = "small2 where alphabet is Japanese_(katakana) or Sanskrit or Tagalog"
    config.data.update(grey=True, invert=True, resize=28, binarize="threshold")
    config.data.update(labels=True, images_per_class=4, shift=2)
    config.train.update(batch_size=128, steps=3_000, eval_batch_size=128, sample_rows=10, sample_columns=10)
    return config
