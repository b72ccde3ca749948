"""Omniglot characters given their embedding, 28x28: drawings of unseen alphabets.

Paper row: section 3.3, figures 4 and 5 (faces), no numbers.
Command: python -m experiments.train --config=configs/omniglot_pairs.py --workdir=runs/omniglot_pairs
  --config.train.microbatch_size=2
  --config.embedding_conditional.embedder=runs/omniglot_embedding (of configs/omniglot_embedding.py)
Time: 54 minutes, one busy Intel Xeon core, 2026-11-29.
Result: of 400 samples of 20 unseen characters, the embeddings of 69.2 % are nearest to the character they were drawn
for (chance 5 %).
"""

from configs import ConfigDict, omniglot_embedding


def get_config() -> ConfigDict:
    config = omniglot_embedding.get_config("embedding_conditional")
    config.embedding_conditional.map_features = 16  # h encodes position
    config.data.update(images_per_class=1, shift=1)
    config.model.update(features=32, layers=8, head_features=32, first_kernel_size=23, dropout=0.1)
    config.optimizer.learning_rate = 3e-3
    config.train.update(batch_size=32, microbatch_size=4, steps=2_500, ema_decay=0.998)
    config.train.update(report_samples=400, sample_rows=8)
    return config
