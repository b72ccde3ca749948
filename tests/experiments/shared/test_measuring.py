"""Measures of reports, computed by hand and against the scores of the same runs."""

import jax.numpy as jnp
import numpy as np
from tiny import settings_of, tiny_splits

from experiments.shared.measuring import class_accuracy, squared_error
from pixelcnn_jax import load_pretrained
from pixelcnn_jax.data.dataset import read_all
from pixelcnn_jax.training.config import run_keys


def test_squared_error_by_hand():
    assert squared_error(jnp.full((1, 2, 2, 1), 0.5), np.full((1, 2, 2, 1), 4), 5) == 0.25


def test_real_images_have_the_accuracy_of_the_classifier(workdirs):
    classifier = str(workdirs("classifier"))
    config = settings_of("class_conditional", {"settings.classifier": classifier, "train.report_samples": 40})
    splits = tiny_splits(config)
    train, asked, drawn_with = read_all(splits.train), [], []
    firsts = np.array([np.flatnonzero(train["label"] == label)[0] for label in range(10)])

    def real(key, wanted):
        asked.append(wanted)
        drawn_with.append(key)
        return train["image"][firsts[np.asarray(wanted)]]

    odd = splits.train.take(np.flatnonzero(train["label"] % 2), "images of five classes")
    actual = class_accuracy(config, odd, real)
    network, variables, _ = load_pretrained(classifier)
    correct = jnp.argmax(network.apply(variables, train["image"][firsts[1::2]]), axis=1) == jnp.arange(1, 10, 2)
    assert drawn_with[0] not in run_keys(config)
    assert actual["samples"] == 40
    np.testing.assert_allclose(actual["class_accuracy_of_samples"], np.mean(correct), rtol=1e-6)
    np.testing.assert_array_equal(np.concatenate(asked), np.arange(1, 10, 2).repeat(8))
