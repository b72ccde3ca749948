"""ImageNet at 32x32 and then 64x64 given it and the label: the setting of figure 7, on the resized set of 2017.

Paper row: figure 7. Its likelihood of 64x64, 3.57 bits/dim, is of one scale and of the original small set.
Command: python -m experiments.multiscale --config=configs/imagenet64_multiscale.py --workdir=runs/imagenet64_multiscale
Result: not yet run.
"""

from ml_collections import ConfigDict

from configs import imagenet64_classes


def get_config() -> ConfigDict:
    config = imagenet64_classes.get_config()
    config.experiment = "multiscale"
    config.small_layers = config.model.layers
    config.map_features = 384
    return config
