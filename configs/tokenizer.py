"""A tokenizer for a folder of pictures, 64x64 in squares of 4: 16x16 codes, of which there are 512.

Paper row: none; finite scalar quantisation is 2309.15505.
Command: python -m experiments.train --config=configs/tokenizer.py --workdir=runs/tokenizer
  --config.data.data_dir=DIR (with pictures in it)
"""

from ml_collections import ConfigDict

from experiments import default_config


def get_config(experiment: str = "tokenizer") -> ConfigDict:
    config = default_config(experiment)
    # A folder without splits: one picture in ten chooses the best parameters, and none is left for a test.
    config.data.update(dataset="folder", train_split="all[:90%]", validation_split="all[90%:]", test_split="")
    config.data.update(resize=64, flip=True)
    config.optimizer.update(name="muon", learning_rate=5e-3)
    config.train.update(batch_size=32, microbatch_size=4, steps=3_000, ema_decay=0.998)
    config.train.update(eval_every=500, checkpoint_every=250, score_train_images=1_000)
    return config
