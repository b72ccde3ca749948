"""scikit-learn's 1,797 handwritten digits, 8x8 with 17 levels; no download.

Paper row: none. Tomczak's ARM: 88.7 nats, 2.00 bits/dim, on the same 350 validation images.
Command: make demo, or python -m experiments.train --config=configs/digits.py --workdir=runs/digits
Time: 8 minutes, two AMD EPYC cores, 2026-11-25; later 141 s, two Intel Xeon cores.
Result: validation 1.822 bits/dim (80.81 nats), test 1.764, train 1.666: the published "digits". The same on the Xeon:
1.823, 1.759, 1.664. On an AMD EPYC, 2026-11-28: validation 1.815, test 1.754. Without augmentation
(--config.unconditional.augment=0 --config.model.dropout=0.3 --config.train.steps=1500) validation 1.851.
"""

from configs import ConfigDict, default_config


def get_config(experiment: str = "unconditional") -> ConfigDict:
    config = default_config(experiment)
    config.data.update(dataset="digits", levels=17)
    config.model.update(features=32, layers=8, dropout=0.2)
    config.optimizer.learning_rate = 4e-3
    config.train.update(steps=1800, ema_decay=0.99, eval_batch_size=128, eval_every=300, baselines=True)
    if experiment == "unconditional":
        config.train.published = (("ARM, Tomczak 2022", "validation", "bits/dim", 2.00),)
        config.unconditional.augment = 0.8
    return config
