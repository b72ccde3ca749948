"""MNIST with 256 levels, by 8 layers of 48 features; two trainings, the second a warm start.

Paper row: none. The gated PixelCNN of the University of Amsterdam tutorial (852,160 parameters, 150 epochs) has 0.820
bits/dim (JAX) and 0.808 (PyTorch).
Commands, in order:
  python -m experiments.train --config=configs/mnist.py:1 --workdir=runs/mnist_1
  python -m experiments.train --config=configs/mnist.py:2 --workdir=runs/mnist_2
Step 2 has a wider head, a lower learning rate and bfloat16.
Time: 62 and 172 minutes (160,000 and 600,000 images), one partly shared AMD EPYC core, 2026-11-27.
Result: test 0.921, then 0.849 bits/dim (461.2 nats), validation 0.853, train 0.851: the published "mnist"; underfits.
Not run: --config.data.dataset=fashion_mnist and --config.data.dataset=emnist/letters (stored transposed). A sparse
probabilistic circuit (NeurIPS 2022) has 3.27 and 1.58 bits/dim on these.
"""

from configs import ConfigDict, mnist_half, step_number


def get_config(step: str = "1") -> ConfigDict:
    config = mnist_half.get_config()
    config.data.binarize = "none"
    config.model.update(features=48, head_features=64)
    config.optimizer.update(name="muon", learning_rate=7e-3, weight_decay=0.1)
    config.train.update(batch_size=16, microbatch_size=2, steps=10_000, eval_batch_size=128, eval_every=1_000)
    config.train.published = (
        ("University of Amsterdam tutorial (JAX)", "test", "bits/dim", 0.820),
        ("University of Amsterdam tutorial (PyTorch)", "test", "bits/dim", 0.808),
    )
    if step_number(step, 2) == 2:
        config.model.update(head_features=128, dtype="bfloat16")
        config.optimizer.learning_rate = 1e-3
        config.train.update(
            start_from="runs/mnist_1", reinitialise=("head",), steps=37_500, ema_decay=0.999, eval_every=2_500
        )
    return config
