"""Binary MNIST, ten minutes of one core for each of the four networks, of 207,000 to 216,000 parameters.

Paper row: none; 1606.05328's abstract has a Gated PixelCNN at the likelihood of a Row LSTM in less than half its time.
Command: python -m experiments.unconditional --config=configs/binarized_mnist_minutes.py --workdir=runs/minutes_gated
and, each with a workdir of its own,
  --config.network=PixelCNN --config.model.features=47 --config.steps=1800
  --config.network=RowLSTM --config.model.features=27 --config.steps=1050
  --config.network=DiagonalBiLSTM --config.model.features=26 --config.steps=480
Result: test 84.37 nats gated, 86.56 Row LSTM, 87.40 PixelCNN, 92.58 Diagonal BiLSTM, after 14, 12, 14 and 11 minutes on
a core of an AMD EPYC, 2026-11-25, while other work ran on the other; these are the weights
"binarized_mnist_gated_minutes" and so on.
"""

from ml_collections import ConfigDict

from configs import binarized_mnist


def get_config() -> ConfigDict:
    config = binarized_mnist.get_config()
    config.validation_split = "validation[:2000]"
    config.train_scored = 2_000
    config.batch_size = 16
    config.at_once = 2
    config.steps = 2_300
    config.ema = 0.99
    config.warmup_steps = 50
    config.eval_every = 250
    config.checkpoint_every = 250
    config.sample_rows = 1  # the predecessors are sampled by running them again for every pixel
    config.sample_columns = 1
    return config
