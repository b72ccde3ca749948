"""MNIST with all 256 levels: 28x28 grey, a network of 8 layers of 32 features that one CPU core trains in two hours.

Paper row: none. The UvA tutorial's gated PixelCNN of 852,160 parameters has 0.820 (JAX) and 0.808 (PyTorch) bits/dim
after 150 epochs.
Command: python -m experiments.train --config=configs/mnist.py --workdir=runs/mnist
Time: 99 minutes, 320,000 images, on one shared core of an AMD EPYC (2026-11-25).
Result: test 0.961 bits/dim (522.5 nats), validation 0.966, train 0.966: the published model "mnist_small". Training
images are no better than others: more steps and a wider network promise more.

A network of 0.65 million parameters, not yet run: --config.model.features=64 --config.model.layers=7
  --config.model.first_kernel_size=7 --config.train.batch_size=32 --config.train.steps=100000
  --config.optimizer.learning_rate=1e-3 --config.optimizer.warmup_steps=500 --config.train.ema_decay=0.999
"""

from ml_collections import ConfigDict

from experiments import default_config


def get_config(experiment: str = "unconditional") -> ConfigDict:
    config = default_config(experiment)
    config.data.dataset = "mnist"
    config.data.train_split = "train[:50000]"
    config.data.validation_split = "train[-2000:]"
    config.model.features = 32
    config.model.layers = 8
    config.model.head_features = 64
    config.model.first_kernel_size = 23
    config.optimizer.learning_rate = 3e-3
    config.train.batch_size = 16
    config.train.microbatch_size = 2
    config.train.steps = 20_000
    config.train.ema_decay = 0.998
    config.train.eval_batch_size = 128
    config.train.eval_every = 2_000
    config.train.checkpoint_every = 1_000
    config.train.score_train_images = 2_000
    config.train.published = (
        ("UvA tutorial 12, JAX", "test", "bits/dim", 0.820),
        ("UvA tutorial 12, PyTorch", "test", "bits/dim", 0.808),
    )
    return config
