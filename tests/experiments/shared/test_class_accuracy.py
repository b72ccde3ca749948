"""The class accuracy of samples."""

import jax.numpy as jnp
import numpy as np
from tiny import tiny_config, tiny_splits

from experiments.shared.class_accuracy import class_accuracy
from pixelcnn_jax import load_pretrained
from pixelcnn_jax.data.dataset import read_all
from pixelcnn_jax.training.step import keys


def test_real_images_have_the_accuracy_of_the_classifier(workdirs):
    classifier = str(workdirs("classifier"))
    config = tiny_config("class_conditional", {"settings.classifier": classifier, "settings.report_samples": 40})
    splits = tiny_splits(config)
    train, asked, drawn_with = read_all(splits.train), [], []
    firsts = np.array([np.flatnonzero(train["label"] == label)[0] for label in range(10)])

    def real(key, wanted):
        asked.append(wanted)
        drawn_with.append(key)
        return train["image"][firsts[np.asarray(wanted)]]

    actual = class_accuracy(config, splits.spec, real)
    network, variables, _ = load_pretrained(classifier)
    correct = jnp.argmax(network.apply(variables, train["image"][firsts]), axis=1) == jnp.arange(10)
    assert drawn_with[0] not in keys(config)
    assert actual["samples"] == 40
    np.testing.assert_allclose(actual["class_accuracy_of_samples"], np.mean(correct), rtol=1e-6)
    np.testing.assert_array_equal(np.concatenate(asked), np.arange(10).repeat(4))


def test_without_a_classifier_there_are_no_figures():
    config = tiny_config("class_conditional")
    assert class_accuracy(config, tiny_splits(config).spec, lambda key, labels: labels) == {}
