"""Labeled Faces in the Wild as identities, 32x32 RGB: 5,000 people, and 749 held out, in the order of their names.

Paper row: section 3.3, with faces from Flickr; the paper prints no figure.
Command: python -m experiments.train --config=configs/lfw_embedding.py --workdir=runs/lfw_embedding
Result: not yet run.
"""

from ml_collections import ConfigDict

from experiments import default_config


def get_config(experiment: str = "embedding") -> ConfigDict:
    config = default_config(experiment)
    config[experiment].encoder_features = (64, 128, 256)
    config[experiment].bottleneck = 128
    config.data.dataset = "lfw"
    config.data.train_split = "train where label is below 5000[:95%]"
    config.data.validation_split = "train where label is below 5000[95%:]"
    config.data.test_split = "train where label is at least 5000"
    config.data.resize = 32
    config.data.labels = True
    config.data.flip = True
    config.data.shift = 2
    config.data.images_per_class = 4
    config.optimizer.warmup_steps = 500
    config.train.batch_size = 256
    config.train.steps = 20_000
    config.train.eval_batch_size = 256
    config.train.eval_every = 1_000
    config.train.checkpoint_every = 1_000
    config.train.sample_rows = 10
    config.train.sample_columns = 10
    return config
