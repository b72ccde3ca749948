"""A tokenizer for a folder of pictures, and the prior of its codes: 64x64 becomes a map of 16x16 codes.

Paper row: none; finite scalar quantisation is 2309.15505, priors of codes 1711.00937 and 1906.00446.
Commands, in order:
  python -m experiments.train --config=configs/codes.py:1 --workdir=runs/tokenizer
  python -m experiments.train --config=configs/codes.py:2 --workdir=runs/codes
Both need --config.data.data_dir=DIR (with pictures in it).
"""

from configs import ConfigDict, default_config, step_number


def get_config(step: str = "1") -> ConfigDict:
    config = default_config("tokenizer" if step_number(step, 2) == 1 else "codes")
    # A folder without splits: one picture in ten chooses the best parameters, and none is left for a test.
    config.data.update(dataset="folder", train_split="all[:90%]", validation_split="all[90%:]", test_split="")
    config.data.update(resize=64, flip=True)
    config.optimizer.update(name="muon", learning_rate=5e-3)
    config.train.update(batch_size=32, microbatch_size=4, steps=3_000, ema_decay=0.998)
    config.train.update(eval_every=500, checkpoint_every=250, score_train_images=1_000)
    if config.experiment == "codes":
        config.codes.tokenizer = "runs/tokenizer"
        # A layer of 7x7 and those of 3x3 see most of 16x16 codes.
        config.model.update(features=66, layers=8, head_features=132, dropout=0.2)
        config.optimizer.learning_rate = 3e-3
        config.train.steps = 4_000
    return config
