"""CIFAR-10 by class: each square of 4x4 pixels becomes one of 512 codes, an image a map of 8x8 codes.

Paper row: none.
Commands, in order:
  python -m experiments.train --config=configs/cifar10_codes.py:1 --workdir=runs/cifar10_tokenizer
  python -m experiments.train --config=configs/cifar10_codes.py:2 --workdir=runs/cifar10_codes
Time: 25, 36 minutes, one AMD EPYC core, 2026-11-30.
Result: test PSNR of the tokenizer 24.34 dB, perplexity of its codes 347 (10,000 test images). The codes of a test image
take 428.6 bits on average.
"""

from configs import ConfigDict, codes


def get_config(step: str = "1") -> ConfigDict:
    config = codes.get_config(step)
    config.data.update(dataset="cifar10", train_split="train[:49000]", validation_split="train[49000:]", resize=None)
    config.data.update(test_split="test", labels=True)
    config.train.update(steps=10_000, eval_every=1_000, report_images=10_000)
    if config.experiment == "codes":
        config.codes.tokenizer = "runs/cifar10_tokenizer"
        config.train.update(steps=8_000, sample_rows=10, sample_columns=10)
    return config
