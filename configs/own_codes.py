"""The prior of codes of your own, an .npz file with the array train_image of [count, rows, columns].

Paper row: none.
Command: python -m experiments.train --config=configs/own_codes.py --workdir=runs/own_codes
  --config.data.data_dir=FILE --config.data.levels=COUNT --config.codes.decoder=MODULE:FUNCTION
"""

from ml_collections import ConfigDict

from configs import codes


def get_config() -> ConfigDict:
    config = codes.get_config()
    config.data.update(dataset="array", train_split="train[:90%]", validation_split="train[90%:]", resize=None)
    config.data.levels = 512  # of the codes
    return config
