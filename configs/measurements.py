"""Patches of 32x32 from a folder of larger images, such as TIFFs of 512x512, whose pixels are counts below 512.

Paper row: none.
Command: python -m experiments.train --config=configs/measurements.py --workdir=runs/measured
Time: see docs/measurements.md, which simulates the folder "measured".
"""

from configs import ConfigDict, default_config


def get_config(experiment: str = "unconditional") -> ConfigDict:
    config = default_config(experiment)
    config.data.update(dataset="folder", data_dir="measured", levels=512, patch=32)
    config.data.update(train_split="all[:80%]", validation_split="all[80%:90%]", test_split="all[90%:]")
    config.model.update(features=32, layers=5, mixture=8, point_masses=True)
    config.optimizer.update(name="muon", learning_rate=1e-2, warmup_steps=50)
    config.train.update(batch_size=16, microbatch_size=2, steps=900, ema_decay=0.99, eval_batch_size=128, sample_rows=4)
    config.train.update(eval_every=300, checkpoint_every=300, score_train_images=512)
    return config
