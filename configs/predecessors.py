"""Binary MNIST, fixed binarisation: the Gated PixelCNN and its predecessors at equal size.

Paper row: 1601.06759 table 4, nats: PixelCNN 81.30, Row LSTM 80.54, Diagonal BiLSTM 79.20.
Command: python -m experiments.train --config=configs/predecessors.py --workdir=runs/predecessors_gated
and, each with its own workdir,
  --config.model.network=PixelCNN --config.model.features=47 --config.train.steps=1800
  --config.model.network=RowLSTM --config.model.features=27 --config.train.steps=1050
  --config.model.network=DiagonalBiLSTM --config.model.features=26 --config.train.steps=480
Time: 26, 18, 27 and 119 minutes (the last mostly naive sampling), one busy Intel Xeon core, 2026-11-29.
Result: test nats: gated 84.38, PixelCNN 87.51, Row LSTM 86.53, Diagonal BiLSTM 91.84; 207,000 to 216,000 parameters.
"""

from configs import ConfigDict, default_config


def get_config(experiment: str = "unconditional") -> ConfigDict:
    config = default_config(experiment)
    config.data.update(dataset="binarized_mnist", levels=2, validation_split="validation[:2000]")
    config.model.update(features=32, layers=8, head_features=32)
    config.model.first_kernel_size = 23  # covers the digit, almost free on one channel
    config.optimizer.update(learning_rate=3e-3, warmup_steps=50)
    config.train.update(batch_size=16, microbatch_size=2, steps=2_300, ema_decay=0.99)
    config.train.update(eval_batch_size=200, eval_every=250, score_train_images=2_000)
    config.train.published = (
        ("PixelCNN (1601.06759)", "test", "nats", 81.30),
        ("Row LSTM (1601.06759)", "test", "nats", 80.54),
        ("Diagonal BiLSTM (1601.06759)", "test", "nats", 79.20),
        ("Gated PixelCNN (1611.05013)", "test", "nats", 80.10),
    )
    return config
