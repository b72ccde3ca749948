"""Portraits as identities, 32x32 grey: the ORL faces of AT&T Laboratories Cambridge, 30 people, and 10 never seen.

Paper row: section 3.3 embeds faces of Flickr so; the paper prints no number.
Command: python -m experiments.embedding --config=configs/orl_embedding.py --workdir=runs/orl_embedding
  --config.data_dir=DIR (which holds train/PERSON/*.png and test/PERSON/*.png)
Result: of 10 people never seen AUC 0.909, EER 0.184, verification rate 0.542 at FAR 0.01, after 3 minutes on one core
of an AMD EPYC, 2026-11-25.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.experiment = "embedding"
    config.dataset = "folder"
    config.train_split = "train[:270]"  # 27 people; by the other three the best parameters are chosen
    config.validation_split = "train[270:]"
    config.grey = True
    config.resize = 32
    config.bits = 5
    config.labels = True
    config.flip = True
    config.shift = 2
    config.bottleneck = 64
    config.per_class = 4
    config.batch_size = 128
    config.steps = 600
    config.eval_batch_size = 32
    config.eval_every = 100
    config.sample_rows = 10
    config.sample_columns = 10
    return config
