"""MNIST as maps of 64-way codes, 4x4 then 8x8, given the label: a small VQ-VAE prior.

Paper row: none; after the priors of 1711.00937 and 1906.00446.
Command: python -m experiments.train --config=configs/mnist_codes.py --workdir=runs/mnist_codes
Time: 8 minutes, one shared Intel Xeon core, 2026-11-29.
Result: test 55.24 nats of codes, 19.2 more given a wrong label, 118.8 more given another image's coarse map.
"""

from configs import ConfigDict, mnist_half


def get_config() -> ConfigDict:
    config = mnist_half.get_config("codes")
    config.data.update(binarize="none", resize=32, labels=True)
    config.model.update(code_features=16, features=48, layers=4, head_features=64, dropout=0.1, first_kernel_size=3)
    config.train.update(batch_size=64, microbatch_size=32, eval_batch_size=256, sample_rows=10, sample_columns=10)
    return config
