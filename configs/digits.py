"""scikit-learn's 1,797 handwritten digits, 8x8 pixels of 17 levels: real images that need no download."""

from ml_collections import ConfigDict

from configs import base


def get_config() -> ConfigDict:
    config = base.get_config()
    config.dataset = "digits"
    config.levels = 17
    config.model.features = 32
    config.model.layers = 8
    config.model.dropout = 0.3
    config.batch_size = 64
    config.steps = 1500
    config.learning_rate = 4e-3
    config.ema = 0.99
    config.eval_batch_size = 128
    config.eval_every = 300
    config.checkpoint_every = 300
    config.baselines = True
    config.published = (("ARM, Tomczak 2022", "validation", "bits/dim", 2.00),)
    return config
