"""New portraits by 10x8 coarse and 20x16 fine codes of configs/orl_tokenizer.py, each beside its nearest portrait.

Paper row: none.
Command: python -m experiments.train --config=configs/orl_codes.py --workdir=runs/orl_codes
  --config.data.data_dir=DIR (with train/PERSON/*.png and test/PERSON/*.png)
"""

from ml_collections import ConfigDict

from configs import codes, orl_tokenizer


def get_config() -> ConfigDict:
    config = codes.with_prior(orl_tokenizer.get_config("codes"))
    # 270 portraits of 27 people: many copies of each, and much dropout, against learning them by heart.
    config.codes.update(tokenizer="runs/orl_tokenizer", coarse_tokenizer="runs/orl_coarse_tokenizer")
    config.codes.update(copies=32, show_nearest=True)
    config.model.update(features=48, layers=6, head_features=96, dropout=0.4)
    config.train.update(batch_size=16, steps=2_000, eval_every=250, sample_rows=4, sample_columns=6)
    return config
