"""ImageNet at 32x32 RGB through a bottleneck of m = 100 numbers: the setting of section 3.4.

Paper row: figures 6 and 11, m = 10 and 100 (--config.bottleneck=10); the paper prints no number.
Command: python -m experiments.autoencoder --config=configs/imagenet32_autoencoder.py --workdir=runs/imagenet32_m100
Result: not yet run.
"""

from ml_collections import ConfigDict

from configs import imagenet32


def get_config() -> ConfigDict:
    config = imagenet32.get_config()
    config.experiment = "autoencoder"
    config.encoder_features = (64, 128, 256)
    config.bottleneck = 100
    config.train_scored = 50_000
    config.sample_rows = 10
    config.sample_columns = 6
    config.published = ()
    return config
