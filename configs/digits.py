"""scikit-learn's 1,797 handwritten digits, 8x8 pixels of 17 levels: real images that need no download.

Paper row: none. Tomczak's ARM has 88.7 nats, 2.00 bits/dim, on the same 350 validation rows.
Command: make demo, or python -m experiments.unconditional --config=configs/digits.py --workdir=runs/digits
Result: validation 1.822 bits/dim (80.81 nats), test 1.764, train 1.666, in 8 minutes on two cores of an AMD EPYC beside
much other work, 2026-11-25, and the same figures in 167 s on the cores alone (141 s on two quiet cores of an Intel
Xeon, the day before: 1.823, 1.759, 1.664); these are the weights "digits". Without the views, --config.augment=0
--config.model.dropout=0.3 --config.steps=1500, validation was 1.851 on an AMD EPYC, 2026-11-24.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.dataset = "digits"
    config.levels = 17
    config.model.features = 32
    config.model.layers = 8
    config.model.dropout = 0.2
    config.augment = 0.8
    config.batch_size = 64
    config.steps = 1800
    config.learning_rate = 4e-3
    config.ema = 0.99
    config.eval_batch_size = 128
    config.eval_every = 300
    config.checkpoint_every = 300
    config.baselines = True
    config.published = (("ARM, Tomczak 2022", "validation", "bits/dim", 2.00),)
    return config
