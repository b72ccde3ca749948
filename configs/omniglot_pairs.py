"""Omniglot's characters given their embedding, 28x28: new drawings of characters from alphabets that were never seen.

Paper row: section 3.3, figures 4 and 5, does so with faces; the paper prints no number.
Command: python -m experiments.embedding_conditional --config=configs/omniglot_pairs.py --workdir=runs/omniglot_pairs
  --config.embedder=runs/omniglot_embedding (the workdir of configs/omniglot_embedding.py)
Result: 73.2 % of 400 samples of 20 unseen characters are nearest to their own (chance 5 %), after 34 minutes on one
core of an AMD EPYC with --config.at_once=2, 2026-11-25, while other work ran. With V h in place of a map of h
(map_features) and a first filter of 7x7 it was 49.2 %.
"""

from ml_collections import ConfigDict

from configs import omniglot_embedding


def get_config() -> ConfigDict:
    config = omniglot_embedding.get_config()
    config.experiment = "embedding_conditional"
    config.per_class = 1
    config.shift = 1
    config.model.features = 32
    config.model.layers = 8
    config.model.head_features = 32
    config.model.first_kernel_size = 23
    config.map_features = 16  # where the strokes go is in the embedding: h acts by place
    config.model.dropout = 0.1
    config.batch_size = 32
    config.at_once = 4
    config.steps = 2_500
    config.learning_rate = 3e-3
    config.ema = 0.998
    config.eval_every = 500
    config.report_samples = 400
    config.sample_rows = 8
    config.sample_columns = 10
    return config
