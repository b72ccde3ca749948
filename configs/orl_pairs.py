"""Portraits given their embedding, 32x32 grey, 32 levels: new portraits of people who were never seen.

Paper row: section 3.3, figures 4 and 5; the paper prints no number.
Command: python -m experiments.embedding_conditional --config=configs/orl_pairs.py --workdir=runs/orl_pairs
  --config.embedder=runs/orl_embedding --config.data_dir=DIR (as in configs/orl_embedding.py)
Result: 67 % of 100 samples of ten people never seen are nearest to their own (chance 10 %; of the portraits they are
drawn from 70 %); test 2.887 bits/dim, after 17 minutes on one core of an AMD EPYC with --config.at_once=2, 2026-11-25,
while other work ran. With V h in place of a map of h, and after 1,200 steps, it was 51 %, of faces without features,
but 2.696 bits/dim: a map of h learns 270 portraits by heart, and without embedding_noise it had the best validation
after 400 steps.
"""

from ml_collections import ConfigDict

from configs import orl_embedding


def get_config() -> ConfigDict:
    config = orl_embedding.get_config()
    config.experiment = "embedding_conditional"
    config.per_class = 1
    config.shift = 0
    config.model.features = 32
    config.model.layers = 10
    config.model.first_kernel_size = 15
    config.model.dropout = 0.3
    config.embedding_noise = 0.5  # about as far as two portraits of a person lie apart
    config.map_features = 16  # where eyes and mouth are does not depend on who it is: h acts by place
    config.batch_size = 32
    config.at_once = 4
    config.steps = 800
    config.learning_rate = 3e-3
    config.ema = 0.99
    config.eval_every = 200
    config.report_samples = 200
    config.sample_rows = 6
    return config
