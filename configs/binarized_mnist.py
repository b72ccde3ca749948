"""Binary MNIST, fixed binarisation, with attention: three trainings, each but the first a warm start.

For a model that can compress, without attention, see configs/binarized_mnist_convolutional.py.

Paper row: see configs/predecessors.py; a Gated PixelCNN has 80.10 nats (PixelVAE, 1611.05013).
Commands, in order:
  python -m experiments.train --config=configs/binarized_mnist.py:1 --workdir=runs/binarized_mnist_1
  python -m experiments.train --config=configs/binarized_mnist.py:2 --workdir=runs/binarized_mnist_2
  python -m experiments.train --config=configs/binarized_mnist.py:3 --workdir=runs/binarized_mnist_3
In all of them, half of the images are rotated by 180 degrees, and h says which. So the model learns two pixel orders,
and the mean of both probabilities is scored below, too.
Time: 118, 121 and 49 minutes (256,000, 208,000 and 96,000 images), one shared AMD EPYC core with AVX512_BF16,
2026-12-02.
Result: test nats 79.50, 79.31, 79.18; the third is the published "binarized_mnist" (validation 79.50, train 78.79,
10,000 images). Mean of p(x) and p(rotated x): 79.02, 78.84 and 78.73 (pixelcnn evaluate binarized_mnist
--mean-over=views).
"""

from configs import ConfigDict, binarized_mnist_convolutional, step_number

TRAININGS = {1: (16_000, 4e-3, 0.0), 2: (13_000, 3e-3, 0.05), 3: (6_000, 2e-3, 0.0)}  # steps, learning rate, dropout


def get_config(step: str = "1") -> ConfigDict:
    config, number = binarized_mnist_convolutional.get_config("4"), step_number(step, 3)
    steps, config.optimizer.learning_rate, config.model.dropout = TRAININGS[number]
    config.model.attention = 3
    config.train.update(batch_size=16, microbatch_size=1, steps=steps, eval_every=max(3_000, steps // 4))
    config.train.start_from = f"runs/binarized_mnist_{number - 1}" if number > 1 else None
    return config
