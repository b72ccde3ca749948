"""CIFAR-10 by 7 layers of 96 features, a mixture of ten logistics and a linear prediction; four trainings.

Paper row: 1606.05328 table 1, Gated PixelCNN 3.03 bits/dim on test; 1601.06759, PixelCNN 3.14.
Commands, in order:
  python -m experiments.train --config=configs/cifar10.py:1 --workdir=runs/cifar10_1
  python -m experiments.train --config=configs/cifar10.py:2 --workdir=runs/cifar10_2
  python -m experiments.train --config=configs/cifar10.py:3 --workdir=runs/cifar10_3
  python -m experiments.train --config=configs/cifar10.py:4 --workdir=runs/cifar10_4
Steps 2 and 4 decay the learning rate linearly to zero.
Time: 84, 48, 77 and 48 minutes (219,200 images), one shared Intel Xeon core with AMX, 2026-11-28.
Result: validation 3.249, 3.177, 3.196, 3.149; test 3.148 bits/dim, train 3.119 (1,000 images): the published "cifar10",
1,483,026 parameters. Mean of p(x) and p(mirrored x): test 3.143 (pixelcnn evaluate cifar10 --mean-over=mirrored).
The training has not converged.
"""

from ml_collections import ConfigDict

from configs import cifar10_small


def get_config(step: str = "1") -> ConfigDict:
    config = cifar10_small.get_config()
    config.data.train_split, config.data.validation_split = "train[:49000]", "train[49000:]"
    config.model.update(features=96, layers=7, head_features=192, mixture=10, linear_prediction=True, dtype="bfloat16")
    config.optimizer.update(learning_rate=3e-3, warmup_steps=500, schedule="constant")
    config.train.update(steps=4_500, ema_decay=0.999, eval_every=1_500, checkpoint_every=250)
    if step != "1":
        config.train.start_from = f"runs/cifar10_{int(step) - 1}"
        config.optimizer.warmup_steps = 100 if step == "3" else 50
    if step in ("2", "4"):
        config.optimizer.decay = 1.0
        config.train.update(steps=2_400 if step == "2" else 2_300, ema_decay=0.998)
        config.train.eval_every = config.train.steps // (3 if step == "2" else 2)
    return config
