"""Portraits given their embedding, 32x32 grey, 32 levels: unseen people.

Paper row: section 3.3, figures 4 and 5, no numbers.
Command: python -m experiments.train --config=configs/orl_pairs.py --workdir=runs/orl_pairs
  --config.train.microbatch_size=2
  --config.embedding_conditional.embedder=runs/orl_embedding --config.data.data_dir=DIR (as for
  configs/orl_embedding.py)
Time: 22 minutes, one shared Intel Xeon core, 2026-11-29.
Result: of 100 samples of ten unseen people, the embeddings of 71 % are nearest to the person they were drawn for
(chance 10 %, source images 70 %); test 2.853 bits/dim.
"""

from configs import ConfigDict, orl_embedding


def get_config() -> ConfigDict:
    config = orl_embedding.get_config("embedding_conditional")
    config.embedding_conditional.embedding_noise = 0.5  # about the distance of two portraits of a person
    config.embedding_conditional.map_features = 16  # eyes and mouth have a fixed position
    config.data.update(images_per_class=1, shift=0)
    config.model.update(features=32, layers=10, first_kernel_size=15, dropout=0.3)
    config.optimizer.learning_rate = 3e-3
    config.train.update(batch_size=32, microbatch_size=4, steps=800, ema_decay=0.99, eval_every=200)
    config.train.update(report_samples=100, sample_rows=6)
    return config
