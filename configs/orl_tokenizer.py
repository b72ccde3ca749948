"""Portraits, 64 wide and 80 high, grey, in squares of 4: the ORL faces, split by people as in configs/orl_embedding.py.

Paper row: none.
Command: python -m experiments.train --config=configs/orl_tokenizer.py --workdir=runs/orl_tokenizer
  --config.data.data_dir=DIR (with train/PERSON/*.png and test/PERSON/*.png)
and the same with --config.tokenizer.factor=8 --workdir=runs/orl_coarse_tokenizer
"""

from ml_collections import ConfigDict

from configs import tokenizer


def get_config(experiment: str = "tokenizer") -> ConfigDict:
    config = tokenizer.get_config(experiment)
    config.data.train_split = "train where label is below 27"  # the other three people choose the best parameters
    config.data.validation_split = "train where label is at least 27"
    config.data.update(test_split="test", grey=True, resize=64, height=80, shift=2)
    config.train.update(batch_size=16, eval_every=250)
    return config
