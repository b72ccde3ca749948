"""Binary MNIST, the fixed binarisation of the published figures: 28x28, two levels.

Paper row: 1601.06759 table 4 (nats): PixelCNN 81.30, Row LSTM 80.54, Diagonal BiLSTM 79.20; 1606.05328 has none.
Command: python -m experiments.unconditional --config=configs/binarized_mnist.py --workdir=runs/binarized_mnist
Result: not yet run to the end.
"""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.dataset = "binarized_mnist"
    config.levels = 2
    config.model.features = 32
    config.model.layers = 8
    config.model.head_features = 32
    config.model.dropout = 0.1
    config.batch_size = 64
    config.steps = 30_000
    config.learning_rate = 2e-3
    config.warmup_steps = 500
    config.eval_batch_size = 200
    config.eval_every = 1_000
    config.checkpoint_every = 500
    config.published = (
        ("PixelCNN (1601.06759)", "test", "nats", 81.30),
        ("Row LSTM (1601.06759)", "test", "nats", 80.54),
        ("Diagonal BiLSTM (1601.06759)", "test", "nats", 79.20),
    )
    return config
