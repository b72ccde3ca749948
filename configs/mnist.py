"""MNIST with all 256 levels: 28x28 grey, a network of 8 layers of 48 features that one CPU core trains in an hour.

Paper row: none. The UvA tutorial's gated PixelCNN of 852,160 parameters has 0.820 (JAX) and 0.808 (PyTorch) bits/dim
after 150 epochs.
Command: python -m experiments.train --config=configs/mnist.py --workdir=runs/mnist
Time: 62 minutes, 160,000 images (3.2 epochs), on one core of an AMD EPYC, shared at times (2026-11-26).
Result: test 0.921 bits/dim (500.4 nats), validation 0.925, train 0.924: the published model "mnist". Training and test
images score alike, so the network underfits; configs/mnist_long.py goes on from it. 32 features by AdamW had 0.961
after 320,000 images.
The same command trains on other sets of 28x28 images, which were not run: --config.data.dataset=fashion_mnist, and
  --config.data.dataset=emnist/letters, whose images are stored transposed. Sparse PC (NeurIPS 2022) has 3.27 and 1.58.
"""

from ml_collections import ConfigDict

from experiments import default_config


def get_config(experiment: str = "unconditional") -> ConfigDict:
    config = default_config(experiment)
    config.data.dataset = "mnist"
    config.data.train_split = "train[:50000]"
    config.data.validation_split = "train[-2000:]"
    config.model.features = 48
    config.model.layers = 8
    config.model.head_features = 64
    config.model.first_kernel_size = 23
    config.optimizer.name = "muon"
    config.optimizer.learning_rate = 7e-3
    config.optimizer.weight_decay = 0.1
    config.train.batch_size = 16
    config.train.microbatch_size = 2
    config.train.steps = 10_000
    config.train.ema_decay = 0.998
    config.train.eval_batch_size = 128
    config.train.eval_every = 1_000
    config.train.checkpoint_every = 500
    config.train.score_train_images = 2_000
    if experiment == "unconditional":
        config.train.published = (
            ("UvA tutorial 12, JAX", "test", "bits/dim", 0.820),
            ("UvA tutorial 12, PyTorch", "test", "bits/dim", 0.808),
        )
    return config
