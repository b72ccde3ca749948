"""CIFAR-10 by 7 layers of 96 features, a mixture of ten logistics and a linear prediction; two trainings.

Paper row: 1606.05328 table 1, Gated PixelCNN 3.03 bits/dim on test; 1601.06759, PixelCNN 3.14.
Commands, in order:
  python -m experiments.train --config=configs/cifar10.py:1 --workdir=runs/cifar10_1
  python -m experiments.train --config=configs/cifar10.py:2 --workdir=runs/cifar10_2
Step 2 decays the learning rate linearly to zero; a longer step 1 continues from its checkpoint.
Time: 84 and 48 minutes (72,000 and 38,400 images), one shared Intel Xeon core with AMX, 2026-11-28.
Result: validation 3.249, then test 3.176 bits/dim, validation 3.177, train 3.147 (1,000 images): the published
"cifar10", 1,483,026 parameters. Mean of p(x) and p(mirrored x): test 3.171 (pixelcnn evaluate cifar10
--mean-over=mirrored). Neither training has converged.
"""

from ml_collections import ConfigDict

from configs import cifar10_small


def get_config(step: str = "1") -> ConfigDict:
    config = cifar10_small.get_config()
    config.data.train_split, config.data.validation_split = "train[:49000]", "train[49000:]"
    config.model.update(features=96, layers=7, head_features=192, mixture=10, linear_prediction=True, dtype="bfloat16")
    config.optimizer.update(learning_rate=3e-3, warmup_steps=500, schedule="constant")
    config.train.update(steps=4_500, ema_decay=0.999, eval_every=1_500, checkpoint_every=250)
    if step == "2":
        config.optimizer.update(warmup_steps=50, decay=1.0)
        config.train.update(start_from="runs/cifar10_1", steps=2_400, ema_decay=0.998, eval_every=800)
    return config
