"""MNIST binarised at half: the unconditional baseline.

Paper row: none. Published figures are of another binarisation, that of configs/predecessors.py.
Command: python -m experiments.train --config=configs/mnist_half.py --workdir=runs/mnist_half
  --config.train.microbatch_size=2
Time: 30 minutes, one shared Intel Xeon core, 2026-11-29.
Result: test 59.46 nats (0.1094 bits/dim), validation 59.68.
"""

from configs import ConfigDict, default_config


def get_config(experiment: str = "unconditional") -> ConfigDict:
    config = default_config(experiment)
    config.data.update(dataset="mnist", train_split="train[:50000]", validation_split="train[-2000:]")
    config.data.binarize = "threshold"
    config.model.update(features=32, layers=8, head_features=32)
    config.model.first_kernel_size = 23  # covers the digit, almost free on one channel
    config.optimizer.learning_rate = 3e-3
    config.train.update(batch_size=32, microbatch_size=4, steps=2_000, ema_decay=0.998)
    config.train.update(eval_batch_size=200, score_train_images=2_000)
    return config
