"""What the gate, the two stacks and the filters' sizes are worth, on scikit-learn's digits, three seeds each.

Paper row: none; section 2.2 and 2.3 argue for these parts and print no figures of a network without.
Command: python -m experiments.ablations --config=configs/digits_ablations.py --workdir=runs/digits_ablations
Result: validation, mean of three seeds and their standard deviation, bits/dim: whole 1.979 (0.003), ReLU 1.979 (0.005),
one stack 1.978 (0.009), residual in the vertical stack 1.985 (0.005), 5x5 1.972 (0.005), first filter 3x3 1.977
(0.007); 14 minutes on one core of an AMD EPYC, 2026-11-25. At 8x8 and 137,000 to 140,000 parameters each, 5x5 helps and
the residual harms by a little more than the seeds differ by; the rest is less.
"""

from ml_collections import ConfigDict

from configs import digits


def get_config() -> ConfigDict:
    config = digits.get_config()
    config.experiment = "ablations"
    config.variants = ("whole", "relu", "one stack", "vertical residual", "5x5", "first 3x3")
    config.seeds = 3
    config.augment = 0.0
    config.model.dropout = 0.3
    config.model.layers = 6
    config.steps = 300
    config.eval_every = 75
    config.checkpoint_every = 300
    config.sample_rows = 1
    config.sample_columns = 1
    config.test_split = ""
    config.train_scored = 100
    return config
