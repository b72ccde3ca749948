"""Embedding of portraits, 32x32 grey: the ORL faces of AT&T Laboratories Cambridge, 30 people and 10 held out.

Paper row: section 3.3 embeds faces from Flickr, no numbers.
Command: python -m experiments.train --config=configs/orl_embedding.py --workdir=runs/orl_embedding
  --config.data.data_dir=DIR (with train/PERSON/*.png and test/PERSON/*.png)
Time: 3 minutes, one shared AMD EPYC core, 2026-12-02.
Result, deciding whether two portraits show the same of 10 unseen people: AUC 0.914, equal error rate 0.176; 55.1 % of
equal pairs are accepted where 1 % of unequal pairs are.
"""

from configs import ConfigDict, default_config


def get_config(experiment: str = "embedding") -> ConfigDict:
    config = default_config(experiment)
    config[experiment].bottleneck = 64
    config.data.dataset = "folder"
    config.data.train_split = "train where label is below 27"  # the other three people choose the best parameters
    config.data.validation_split = "train where label is at least 27"
    config.data.update(grey=True, resize=32, bits=5, labels=True, flip=True, shift=2, images_per_class=4)
    config.train.update(batch_size=128, steps=600, eval_batch_size=104, eval_every=100)
    config.train.update(sample_rows=10, sample_columns=10)
    return config
