"""CIFAR-10 by 7 layers of 64 features and a mixture of ten logistics; two trainings, the second a warm start.

Paper row: 1606.05328 table 1, Gated PixelCNN 3.03 bits/dim on test. NeLLoC, best of at most 0.72 million parameters:
3.247 (721,000 parameters).
Commands, in order:
  python -m experiments.train --config=configs/cifar10.py:1 --workdir=runs/cifar10_1
  python -m experiments.train --config=configs/cifar10.py:2 --workdir=runs/cifar10_2
Step 2 is in float32: in bfloat16, 800 final steps raise validation from 3.230 to 3.246.
Time: 234 and 46 minutes (600,000 and 70,400 images), one AMD EPYC core, 2026-11-28.
Result: test 3.229, then 3.214 bits/dim, validation 3.216, train 3.194 (1,000 images): the published "cifar10",
657,882 parameters. Mean of p(x) and p(mirrored x): test 3.209 (pixelcnn evaluate cifar10 --mean-over=mirrored).
"""

from ml_collections import ConfigDict

from configs import cifar10_small


def get_config(step: str = "1") -> ConfigDict:
    config = cifar10_small.get_config()
    config.model.update(features=64, layers=7, head_features=128, mixture=10, dtype="bfloat16")
    config.train.update(steps=37_500, ema_decay=0.999, eval_every=2_500)
    if step == "2":
        config.model.dtype = "float32"
        config.optimizer.learning_rate = 3e-4
        config.train.update(start_from="runs/cifar10_1", steps=4_400, ema_decay=0.998, eval_every=2_200)
    return config
