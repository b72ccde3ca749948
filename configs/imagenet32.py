"""ImageNet 32x32, the original small set (TFDS downsampled_imagenet, 49,999 validation images, no labels).

Paper row: 1606.05328 table 2, Gated PixelCNN 3.83 bits/dim on validation, PixelRNN 3.86. The paper's network (section
3.1) has 20 layers, 384 features and filters of 5x5, and was trained by 200,000 updates of 128 images (60 hours on 32
GPUs).
Command: python -m experiments.train --config=configs/imagenet32.py --workdir=runs/imagenet32
Result: not yet run.

Given the label (figures 3 and 8), on the resized set of 2017, not comparable to table 2. Not yet run:
  --config=configs/imagenet32.py:class_conditional --config.data.dataset=imagenet_resized/32x32
  --config.data.labels=True --config.train.score_train_images=50000 --config.train.report_images=0
Auto-encoder (section 3.4, figures 6 and 11; m = 10 and 100). Not yet run:
  --config=configs/imagenet32.py:autoencoder --config.autoencoder.bottleneck=100
  --config.autoencoder.encoder_features='(64, 128, 256)' --config.train.score_train_images=50000
  --config.train.sample_rows=10 --config.train.sample_columns=6
"""

from configs import ConfigDict, default_config


def get_config(experiment: str = "unconditional") -> ConfigDict:
    config = default_config(experiment)
    config.data.update(dataset="downsampled_imagenet/32x32", test_split="")
    config.model.update(features=384, layers=20, kernel_size=5, head_features=1024, dtype="bfloat16")
    config.optimizer.update(learning_rate=4e-4, warmup_steps=2_000)
    config.train.update(batch_size=128, steps=200_000, ema_decay=0.9999, eval_batch_size=128, sample_rows=4)
    config.train.update(log_every=100, eval_every=10_000, checkpoint_every=1_000)
    if experiment == "unconditional":
        config.train.published = (
            ("PixelRNN (1601.06759)", "validation", "bits/dim", 3.86),
            ("Gated PixelCNN (1606.05328)", "validation", "bits/dim", 3.83),
        )
    return config
