"""CIFAR-10: 32x32 RGB, 15 gated layers of 128 features, 7x7 then 3x3, 1,024 maps in the head.

Paper row: 1606.05328 table 1, Gated PixelCNN 3.03 bits/dim on test (2.90 on train); the paper does not state its
network, these sizes are the rebuilders'.
Command: python -m experiments.unconditional --config=configs/cifar10.py --workdir=runs/cifar10
Result: not yet run at this width. A reduced width on two CPU cores (2026-11-24, AMD EPYC, 113 s of training) fell to
5.24 bits/dim on 500 validation images after 600 steps, below 6 by step 300:
python -m experiments.unconditional --config=configs/cifar10.py --workdir=runs/cifar_small --config.model.features=24
  --config.model.layers=4 --config.model.head_features=48 --config.batch_size=16 --config.steps=600
  --config.learning_rate=4e-3 --config.schedule=constant --config.warmup_steps=50 --config.ema=0.98
  --config.train_split='train[:5000]' --config.validation_split='train[-500:]' --config.test_split='test[:500]'
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.dataset = "cifar10"
    config.train_split = "train[:45000]"
    config.validation_split = "train[45000:]"
    config.flip = True
    config.model.features = 128
    config.model.layers = 15
    config.model.head_features = 1024
    config.batch_size = 32
    config.steps = 300_000
    config.learning_rate = 4e-4
    config.warmup_steps = 1_000
    config.ema = 0.9995
    config.eval_batch_size = 128
    config.eval_every = 5_000
    config.checkpoint_every = 1_000
    config.sample_rows = 4
    config.sample_columns = 8
    config.published = (
        ("PixelCNN (1601.06759)", "test", "bits/dim", 3.14),
        ("Row LSTM (1601.06759)", "test", "bits/dim", 3.07),
        ("Gated PixelCNN (1606.05328)", "test", "bits/dim", 3.03),
        ("Gated PixelCNN (1606.05328)", "train", "bits/dim", 2.90),
    )
    return config
