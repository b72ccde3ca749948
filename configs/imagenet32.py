"""ImageNet at 32x32 RGB, the original small set (TFDS downsampled_imagenet, 49,999 validation images, no labels).

Paper row: 1606.05328 table 2, Gated PixelCNN 3.83 bits/dim on validation; PixelRNN 3.86. The network is section 3.1's:
20 layers, 384 features, 5x5, batch 128, 200K updates (there on 32 GPUs for 60 hours).
Command: python -m experiments.unconditional --config=configs/imagenet32.py --workdir=runs/imagenet32
Result: not yet run.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.dataset = "downsampled_imagenet/32x32"
    config.test_split = ""
    config.model.features = 384
    config.model.layers = 20
    config.model.kernel_size = 5
    config.model.head_features = 1024
    config.model.dtype = "bfloat16"
    config.batch_size = 128
    config.steps = 200_000
    config.learning_rate = 4e-4
    config.warmup_steps = 2_000
    config.ema = 0.9999
    config.eval_batch_size = 128
    config.log_every = 100
    config.eval_every = 10_000
    config.checkpoint_every = 1_000
    config.sample_rows = 4
    config.sample_columns = 8
    config.published = (
        ("PixelRNN (1601.06759)", "validation", "bits/dim", 3.86),
        ("Gated PixelCNN (1606.05328)", "validation", "bits/dim", 3.83),
    )
    return config
