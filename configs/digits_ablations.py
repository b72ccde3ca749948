"""What the gate, the two stacks and the filters' sizes are worth, on scikit-learn's digits, three seeds each.

Paper row: none; section 2.2 and 2.3 argue for these parts and print no figures of a network without.
Command: python -m experiments.ablations --config=configs/digits_ablations.py --workdir=runs/digits_ablations
Result: not yet run.
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
