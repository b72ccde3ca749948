"""MNIST binarised at half, 14x14 then 28x28, given the label.

Paper row: figure 7 (ImageNet 64x64 after 32x32), no numbers.
Commands, in order:
  python -m experiments.train --config=configs/mnist_classifier.py --workdir=runs/mnist_classifier
  python -m experiments.train --config=configs/mnist_multiscale.py --workdir=runs/mnist_multiscale
  --config.multiscale.classifier=runs/mnist_classifier
Time: 44 minutes, one shared AMD EPYC core, 2026-11-29.
Result: test 56.81 nats (14x14: 24.78, rest: 32.02); class accuracy of 1,000 samples 93.6 %.
"""

from configs import ConfigDict, mnist_half


def get_config() -> ConfigDict:
    config = mnist_half.get_config("multiscale")
    config.data.labels = True
    config.model.layers = 6  # with 8 for the small image, about the FLOPs of 8
    config.train.update(microbatch_size=2, steps=1_800, eval_every=600, sample_rows=10, sample_columns=10)
    config.train.report_images = 10_000
    return config
