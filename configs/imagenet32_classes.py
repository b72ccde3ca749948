"""ImageNet at 32x32 RGB given its label: the resized set of 2017 (TFDS imagenet_resized), the one that has labels.

Paper row: figures 3 and 8, and section 3.2: the label hardly moves bits/dim, but the samples greatly. Likelihoods on
this set do not stand beside those of table 2, which are of the original small set (configs/imagenet32.py).
Command: python -m experiments.class_conditional --config=configs/imagenet32_classes.py --workdir=runs/in32_classes
Result: not yet run.
"""

from ml_collections import ConfigDict

from configs import imagenet32


def get_config() -> ConfigDict:
    config = imagenet32.get_config()
    config.experiment = "class_conditional"
    config.dataset = "imagenet_resized/32x32"
    config.labels = True
    config.report_images = 0  # every image of 1,000 classes would take 1,000 forward passes
    config.train_scored = 50_000
    config.published = ()
    return config
