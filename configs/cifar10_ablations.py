"""In which order the colours are best predicted: CIFAR-10 at 16x16, a small network, three seeds each.

Paper row: none; 1606.05328 predicts red, then green, then blue, and prints no other order.
Command: python -m experiments.ablations --config=configs/cifar10_ablations.py --workdir=runs/cifar10_ablations
Result: validation, mean of three seeds and their standard deviation, bits/dim: red first 3.127 (0.046), blue first
3.117 (0.042), green first 3.133 (0.116); 5 minutes on one core of an AMD EPYC, 2026-11-25, while other work ran. The
seeds differ by more than the orders do.
"""

from ml_collections import ConfigDict

from configs import cifar10


def get_config() -> ConfigDict:
    config = cifar10.get_config()
    config.experiment = "ablations"
    config.variants = ("whole", "blue first", "green first")
    config.seeds = 3
    config.resize = 16
    config.bits = 5
    config.levels = 32
    config.train_split = "train[:20000]"
    config.validation_split = "train[-1000:]"
    config.test_split = ""
    config.train_scored = 100
    config.model.features = 24
    config.model.layers = 4
    config.model.head_features = 48
    config.batch_size = 16
    config.at_once = 8
    config.eval_batch_size = 200
    config.steps = 300
    config.learning_rate = 4e-3
    config.warmup_steps = 50
    config.ema = 0.99
    config.eval_every = 150
    config.checkpoint_every = 300
    config.sample_rows = 1
    config.sample_columns = 1
    config.published = ()
    return config
