"""Scenes of MNIST digits given a sentence.

Command: python -m experiments.train --config=configs/mnist_captions.py --workdir=runs/mnist_captions
"""

from ml_collections import ConfigDict

from experiments import default_config


def get_config(size: str = "32") -> ConfigDict:
    config = default_config("captions")
    config.data.dataset = f"mnist_scenes/{size}x{size}"
    config.data.binarize = "threshold"
    config.data.captions = True
    config.data.labels = True
    config.data.test_split = "held_out"
    config.captions.report_images = 64
    config.model.features = 24
    config.model.layers = 5
    config.model.head_features = 24
    config.model.first_kernel_size = 23
    config.optimizer.name = "muon"
    config.optimizer.learning_rate = 6e-3
    config.train.batch_size = 16
    config.train.microbatch_size = 4
    config.train.steps = 2_200
    config.train.ema_decay = 0.998
    config.train.eval_batch_size = 200
    config.train.eval_every = 550
    config.train.checkpoint_every = 250
    config.train.score_train_images = 500
    config.train.sample_rows = 9
    config.train.sample_columns = 6
    return config
