"""The order in which colours are predicted: CIFAR-10 at 16x16, a small network, three seeds each.

Paper row: none. 1606.05328 predicts red, then green, then blue, and reports no other order.
Command: for each variant ("whole", "blue first", "green first") and seed 0, 1, 2
  python -m experiments.train --config=configs/cifar10_ablations.py --workdir=runs/cifar10_ablations/blue-0
    --config.ablations.variant="blue first" --config.seed=0
Time: 5 minutes for the nine runs on one shared core of an AMD EPYC (2026-11-25).
Result: validation bits/dim, mean of three seeds (standard deviation): red first 3.127 (0.046), blue first 3.117
(0.042), green first 3.133 (0.116). The seeds differ by more than the orders do.
"""

from ml_collections import ConfigDict

from configs import cifar10_full


def get_config() -> ConfigDict:
    config = cifar10_full.get_config("ablations")
    config.data.resize = 16
    config.data.bits = 5
    config.data.train_split = "train[:20000]"
    config.data.validation_split = "train[-1000:]"
    config.data.test_split = ""
    config.model.features = 24
    config.model.layers = 4
    config.model.head_features = 48
    config.optimizer.learning_rate = 4e-3
    config.optimizer.warmup_steps = 50
    config.train.batch_size = 16
    config.train.microbatch_size = 8
    config.train.steps = 300
    config.train.ema_decay = 0.99
    config.train.eval_batch_size = 200
    config.train.eval_every = 150
    config.train.checkpoint_every = 300
    config.train.score_train_images = 100
    config.train.sample_rows = 1
    config.train.sample_columns = 1
    return config
