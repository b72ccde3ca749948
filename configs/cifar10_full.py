"""CIFAR-10: a first gated layer of 7x7, then 15 of 3x3, all of 128 features; 1,024 features in the head.

Paper row: 1606.05328 table 1, Gated PixelCNN 3.03 bits/dim on test (2.90 on train); its size is not stated.
Command: python -m experiments.train --config=configs/cifar10_full.py --workdir=runs/cifar10_full
Result: not yet run.
"""

from configs import ConfigDict, default_config


def get_config(experiment: str = "unconditional") -> ConfigDict:
    config = default_config(experiment)
    config.data.update(dataset="cifar10", train_split="train[:45000]", validation_split="train[45000:]", flip=True)
    config.model.update(features=128, layers=15, head_features=1024)
    config.optimizer.update(learning_rate=4e-4, warmup_steps=1_000)
    config.train.update(batch_size=32, steps=300_000, ema_decay=0.9995, eval_batch_size=128, sample_rows=4)
    config.train.update(eval_every=5_000, checkpoint_every=1_000)
    if experiment == "unconditional":
        config.train.published = (
            ("PixelCNN (1601.06759)", "test", "bits/dim", 3.14),
            ("Row LSTM (1601.06759)", "test", "bits/dim", 3.07),
            ("Gated PixelCNN (1606.05328)", "test", "bits/dim", 3.03),
            ("Diagonal BiLSTM (1601.06759)", "test", "bits/dim", 3.00),
            ("Gated PixelCNN (1606.05328)", "train", "bits/dim", 2.90),
        )
    return config
