"""CIFAR-10 with 32 levels, 16x16 then 32x32, small enough for two CPU cores.

Paper row: none; figure 7 shows ImageNet 64x64 after 32x32.
Command: python -m experiments.train --config=configs/cifar10_multiscale.py --workdir=runs/cifar10_multiscale
  --config.train.microbatch_size=2
Time: 18 minutes, one shared AMD EPYC core, 2026-11-29.
Result: test 2.535 bits per sub-pixel of 32x32, of which the image of 16x16 takes 0.757.
"""

from configs import ConfigDict, cifar10_autoencoder


def get_config() -> ConfigDict:
    config = cifar10_autoencoder.get_config("multiscale")
    config.multiscale.map_features = 32
    config.data.labels = False
    config.model.layers = 6  # with 8 for the small image, about the FLOPs of 8
    config.train.update(steps=400, eval_every=200, sample_rows=4, sample_columns=8, report_images=10_000)
    return config
