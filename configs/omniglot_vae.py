"""Omniglot, 28x28: a code of one drawing, given which another drawing of the character is drawn; unseen alphabets.

Paper row: none. Section 4 names variational auto-encoders, and images from a single example, as future work.
Command: python -m experiments.train --config=configs/omniglot_vae.py --workdir=runs/omniglot_vae
  The result is of --config.data.dataset=omniglot28, as in configs/omniglot_few_shot.py.
Time: 27 minutes (48,000 drawings, 1,500 steps) on a shared core of an AMD EPYC (2026-11-26); the report 9 more.
Result: 1,000 drawings of unseen alphabets: 66.47 nats given a code of another drawing of the character, 65.63 given the
mixture of 32 codes of it, 71.01 given a code of the prior, 71.67 given one of another character. KL 9.94 nats. The
character is found among 20 in 51.5 % of the cases.
"""

from ml_collections import ConfigDict

from configs import omniglot_few_shot
from experiments import default_config


def get_config() -> ConfigDict:
    config, few_shot = default_config("example_vae"), omniglot_few_shot.get_config()
    config.data, config.optimizer = few_shot.data, few_shot.optimizer
    config.optimizer.learning_rate = 8e-3
    config.optimizer.weight_decay = 0.0
    config.data.validation_split = "train where alphabet is at least 41"  # all, so that each drawing has another
    config.data.examples = 1
    config.data.fewest_examples = 1
    config.example_vae.bottleneck = 32
    config.example_vae.encoder_features = (32, 64)
    config.example_vae.map_features = 16
    config.example_vae.kl_weight = 0.1
    config.example_vae.kl_warmup = 500
    # The decoder sees 6 rows and columns of the image. What is farther away, the code must tell.
    config.model.features = 32
    config.model.layers = 3
    config.model.head_features = 32
    config.model.first_kernel_size = 7
    config.train.batch_size = 32
    config.train.microbatch_size = 8
    config.train.steps = 1_500
    config.train.ema_decay = 0.995
    config.train.checkpoint_every = 250
    config.train.score_train_images = 2_000
    config.train.sample_rows = 16
    config.train.sample_columns = 12
    return config
