"""Omniglot's characters given their embedding, 28x28: new drawings of characters from alphabets not trained on.

Paper row: section 3.3, figures 4 and 5, show faces; the paper prints no figure.
Command: python -m experiments.train --config=configs/omniglot_pairs.py --workdir=runs/omniglot_pairs
  --config.train.microbatch_size=2
  --config.embedding_conditional.embedder=runs/omniglot_embedding (the workdir of configs/omniglot_embedding.py)
Time: 34 minutes on one shared core of an AMD EPYC (2026-11-25).
Result: 73.2 % of 400 samples of 20 unseen characters are nearest to their own (chance 5 %). With V h in place of a map
of h (map_features) and a first filter of 7x7 it was 49.2 %.
"""

from ml_collections import ConfigDict

from configs import omniglot_embedding


def get_config() -> ConfigDict:
    config = omniglot_embedding.get_config("embedding_conditional")
    config.embedding_conditional.map_features = 16  # an embedding says where strokes go, so h acts by position
    config.data.images_per_class = 1
    config.data.shift = 1
    config.model.features = 32
    config.model.layers = 8
    config.model.head_features = 32
    config.model.first_kernel_size = 23
    config.model.dropout = 0.1
    config.optimizer.learning_rate = 3e-3
    config.train.batch_size = 32
    config.train.microbatch_size = 4
    config.train.steps = 2_500
    config.train.ema_decay = 0.998
    config.train.report_samples = 400
    config.train.sample_rows = 8
    return config
