"""Labeled Faces in the Wild given their embedding, 32x32 RGB: the setting of the paper's portraits, on a public set.

Paper row: section 3.3, figures 4, 5, 9 and 10, with faces from Flickr; the paper prints no figure.
Command: python -m experiments.train --config=configs/lfw_pairs.py --workdir=runs/lfw_pairs
  --config.embedding_conditional.embedder=runs/lfw_embedding (the workdir of configs/lfw_embedding.py)
Result: not yet run.
"""

from ml_collections import ConfigDict

from configs import lfw_embedding


def get_config() -> ConfigDict:
    config = lfw_embedding.get_config("embedding_conditional")
    config.embedding_conditional.report_samples = 400
    config.data.images_per_class = 1
    config.data.shift = 0
    config.model.features = 192
    config.model.layers = 15
    config.model.head_features = 1024
    config.model.dropout = 0.2
    config.model.dtype = "bfloat16"
    config.optimizer.learning_rate = 4e-4
    config.train.batch_size = 64
    config.train.steps = 100_000
    config.train.ema_decay = 0.9995
    config.train.eval_batch_size = 64
    return config
