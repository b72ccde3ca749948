"""CIFAR-10 by 7 layers of 96, later 144 features, a mixture of ten logistics and a linear prediction; eight trainings.

Paper row: 1606.05328 table 1, Gated PixelCNN 3.03 bits/dim on test; 1601.06759, PixelCNN 3.14.
Commands, in order; even steps and the seventh decay the learning rate linearly to zero:
  python -m experiments.train --config=configs/cifar10.py:1 --workdir=runs/cifar10_1
  python -m experiments.train --config=configs/cifar10.py:2 --workdir=runs/cifar10_2
  python -m experiments.train --config=configs/cifar10.py:3 --workdir=runs/cifar10_3
  python -m experiments.train --config=configs/cifar10.py:4 --workdir=runs/cifar10_4
  python -m experiments.train --config=configs/cifar10.py:5 --workdir=runs/cifar10_5
  python -m experiments.train --config=configs/cifar10.py:6 --workdir=runs/cifar10_6
  python -m tools.grow runs/cifar10_6 runs/cifar10_wide --features=144 --head-features=288
  python -m experiments.train --config=configs/cifar10.py:7 --workdir=runs/cifar10_7
  python -m experiments.train --config=configs/cifar10.py:8 --workdir=runs/cifar10_8
Time: 84, 48, 77, 48, 59, 46, 148 and 88 minutes (477,000 images); the first six on one shared Intel Xeon core with AMX,
2026-11-28 to 29, and the last two in core-minutes of an AMD EPYC with AVX512_BF16, 2026-12-01.
Result: validation 3.249, 3.177, 3.196, 3.149, 3.186, 3.140, 3.108, 3.099; test 3.099 bits/dim, train 3.068 (1,000
images): the published "cifar10", 3,288,882 parameters. Mean of p(x) and p(mirrored x): test 3.094 (pixelcnn evaluate
cifar10 --mean-over=mirrored). The sixth training, 1,483,026 parameters: test 3.139, train 3.110. The seventh: test
3.108.
"""

from configs import ConfigDict, cifar10_full, step_number

STEPS = 4_500, 2_400, 4_500, 2_300, 3_000, 2_300, 6_000, 4_800


def get_config(step: str = "1", experiment: str = "unconditional") -> ConfigDict:
    config, number = cifar10_full.get_config(experiment), step_number(step, len(STEPS))
    config.seed = max(0, number - 4)
    config.data.update(train_split="train[:49000]", validation_split="train[49000:]")
    config.model.update(features=96, layers=7, head_features=192, mixture=10, linear_prediction=True, dtype="bfloat16")
    config.optimizer.update(name="muon", weight_decay=0.1, schedule="constant")
    config.optimizer.learning_rate = 2.5e-3 if number == 8 else 3e-3
    config.optimizer.warmup_steps = 500 if number == 1 else 100
    config.train.update(batch_size=16, microbatch_size=2, steps=STEPS[number - 1], ema_decay=0.999)
    config.train.update(eval_every=1_500, checkpoint_every=250, score_train_images=1_000, sample_rows=1)
    if number > 1:
        config.train.start_from = "runs/cifar10_wide" if number == 7 else f"runs/cifar10_{number - 1}"
    if number in (2, 4, 6, 7, 8):
        config.optimizer.update(warmup_steps=50, decay=1.0)
        config.train.update(eval_every=config.train.steps // 2, ema_decay=0.998)
    if number >= 7:
        config.model.update(features=144, head_features=288)
        config.train.eval_every = config.train.steps // 4
    return config
