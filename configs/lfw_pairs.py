"""Faces in the wild given their embedding, 32x32 RGB: the setting of the paper's portraits, on a public set.

Paper row: section 3.3, figures 4, 5, 9 and 10; the paper prints no number, and trained on faces of Flickr.
Command: python -m experiments.embedding_conditional --config=configs/lfw_pairs.py --workdir=runs/lfw_pairs
  --config.embedder=runs/lfw_embedding (the workdir of configs/lfw_embedding.py)
Result: not yet run.
"""

from ml_collections import ConfigDict

from configs import lfw_embedding


def get_config() -> ConfigDict:
    config = lfw_embedding.get_config()
    config.experiment = "embedding_conditional"
    config.per_class = 1
    config.shift = 0
    config.model.features = 192
    config.model.layers = 15
    config.model.head_features = 1024
    config.model.dropout = 0.2
    config.model.dtype = "bfloat16"
    config.batch_size = 64
    config.steps = 100_000
    config.learning_rate = 4e-4
    config.ema = 0.9995
    config.eval_batch_size = 64
    config.report_samples = 400
    return config
