"""Binary MNIST in the fixed binarisation of the published figures: 28x28, two levels.

Paper row: 1601.06759 table 4, nats: PixelCNN 81.30, Row LSTM 80.54, Diagonal BiLSTM 79.20. 1606.05328 has none;
PixelVAE (1611.05013) reports 80.10 for a gated PixelCNN.
Command: python -m experiments.train --config=configs/binarized_mnist.py --workdir=runs/binarized_mnist
  --config.train.microbatch_size=2
Time: 125 minutes (7.7 epochs) on one shared core of an AMD EPYC (2026-11-25).
Result: test 81.39 nats (0.1498 bits/dim), validation 81.83, train 80.81 (10,000 images): the published model
"binarized_mnist". Training and validation are one nat apart; configs/binarized_mnist_wide.py has 80.41.

Four networks of 207,000 to 216,000 parameters after ten minutes of a core each. The paper reports the
likelihood of a PixelRNN in less than half its training time.
Command: the above, with a workdir each, and --config.train.steps=2300 --config.train.batch_size=16
  --config.train.microbatch_size=2 --config.train.ema_decay=0.99 --config.train.eval_every=250
  --config.train.checkpoint_every=250 --config.train.score_train_images=2000 --config.train.sample_rows=1
  --config.train.sample_columns=1 --config.optimizer.warmup_steps=50 --config.data.validation_split=validation[:2000]
and, for the predecessors,
  --config.model.network=PixelCNN --config.model.features=47 --config.train.steps=1800
  --config.model.network=RowLSTM --config.model.features=27 --config.train.steps=1050
  --config.model.network=DiagonalBiLSTM --config.model.features=26 --config.train.steps=480
Result: test nats: gated 84.37, Row LSTM 86.56, PixelCNN 87.40, Diagonal BiLSTM 92.58, after 14, 12, 14 and 11 minutes
on one shared core of an AMD EPYC (2026-11-25): the published models "binarized_mnist_gated_minutes" and so on.
"""

from ml_collections import ConfigDict

from experiments import default_config


def get_config(experiment: str = "unconditional") -> ConfigDict:
    config = default_config(experiment)
    config.data.dataset = "binarized_mnist"
    config.data.levels = 2
    config.model.features = 32
    config.model.layers = 8
    config.model.head_features = 32
    config.model.first_kernel_size = 23  # sees the whole digit, and costs next to nothing on one channel
    config.optimizer.learning_rate = 3e-3
    config.optimizer.warmup_steps = 200
    config.train.batch_size = 32
    config.train.microbatch_size = 4
    config.train.steps = 12_000
    config.train.eval_batch_size = 200
    config.train.eval_every = 1_000
    config.train.score_train_images = 10_000
    config.train.published = (
        ("PixelCNN (1601.06759)", "test", "nats", 81.30),
        ("Row LSTM (1601.06759)", "test", "nats", 80.54),
        ("Diagonal BiLSTM (1601.06759)", "test", "nats", 79.20),
        ("Gated PixelCNN (1611.05013)", "test", "nats", 80.10),
    )
    return config
