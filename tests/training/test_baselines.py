import numpy as np

from pixelcnn_jax.data.loading import DataConfig, load_splits
from pixelcnn_jax.training.baselines import baselines


def test_the_baselines_of_the_digits_are_the_published_ones():
    table = baselines(load_splits(DataConfig()))
    bits = {name: [round(nats / (64 * np.log(2)), 2) for nats in actual.values()] for name, actual in table.items()}
    assert bits == {"uniform": [4.09, 4.09], "independent pixels": [2.49, 2.4]}
    assert [*table["uniform"]] == ["validation", "test"]
