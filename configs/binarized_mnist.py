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
    config.train_scored = 10_000
    config.model.features = 32
    config.model.layers = 8
    config.model.head_features = 32
    config.model.first_kernel_size = 23  # sees a digit's top from its bottom, and costs next to nothing on one channel
    config.batch_size = 32
    config.at_once = 4
    config.steps = 12_000
    config.learning_rate = 3e-3
    config.warmup_steps = 200
    config.eval_batch_size = 200
    config.eval_every = 1_000
    config.checkpoint_every = 500
    config.published = (
        ("PixelCNN (1601.06759)", "test", "nats", 81.30),
        ("Row LSTM (1601.06759)", "test", "nats", 80.54),
        ("Diagonal BiLSTM (1601.06759)", "test", "nats", 79.20),
    )
    return config
