"""Faces in the wild as identities, 32x32 RGB: 5,000 people, and 749 never seen, in the order of their names.

Paper row: section 3.3, there with faces of Flickr; the paper prints no number.
Command: python -m experiments.embedding --config=configs/lfw_embedding.py --workdir=runs/lfw_embedding
Result: not yet run.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.experiment = "embedding"
    config.dataset = "lfw"
    config.train_split = "train where label is below 5000[:95%]"
    config.validation_split = "train where label is below 5000[95%:]"
    config.test_split = "train where label is at least 5000"
    config.resize = 32
    config.labels = True
    config.flip = True
    config.shift = 2
    config.encoder_features = (64, 128, 256)
    config.bottleneck = 128
    config.per_class = 4
    config.batch_size = 256
    config.steps = 20_000
    config.warmup_steps = 500
    config.eval_batch_size = 256
    config.eval_every = 1_000
    config.checkpoint_every = 1_000
    config.sample_rows = 10
    config.sample_columns = 10
    return config
