"""ImageNet 64x64, the original small set, by the network of configs/imagenet32.py.

Paper row: 1606.05328 table 2, Gated PixelCNN 3.57 bits/dim on validation, PixelRNN 3.63.
Command: python -m experiments.train --config=configs/imagenet64.py --workdir=runs/imagenet64
Result: not yet run.

Given the label, and 64x64 given 32x32 (figure 7). Not yet run:
  --config=configs/imagenet64.py:class_conditional --config.data.dataset=imagenet_resized/64x64
    --config.data.labels=True --config.train.score_train_images=50000 --config.train.report_images=0
  --config=configs/imagenet64.py:multiscale --config.data.dataset=imagenet_resized/64x64 --config.data.labels=True
    --config.multiscale.small_layers=20 --config.multiscale.map_features=384 --config.train.score_train_images=50000
"""

from configs import ConfigDict, imagenet32


def get_config(experiment: str = "unconditional") -> ConfigDict:
    config = imagenet32.get_config(experiment)
    config.data.dataset = "downsampled_imagenet/64x64"
    if experiment == "unconditional":
        config.train.published = (
            ("PixelRNN (1601.06759)", "validation", "bits/dim", 3.63),
            ("Gated PixelCNN (1606.05328)", "validation", "bits/dim", 3.57),
        )
    return config
