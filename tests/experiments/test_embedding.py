"""Identities, and the embedding that another experiment keeps fixed."""

import jax
import numpy as np

from experiments.embedding import identities_of
from pixelcnn_jax import load_pretrained
from pixelcnn_jax.data.dataset import from_array


def test_identities_are_the_first_ones_with_two_images():
    images = np.arange(7).reshape(7, 1, 1, 1)
    found = identities_of(from_array(images, np.array([0, 3, 1, 1, 3, 3, 2]), levels=7), 2)
    assert {label: x.ravel().tolist() for label, x in found.items()} == {3: [1, 4, 5], 1: [2, 3]}
    assert list(found) == [3, 1]


def test_the_embedder_stays_as_it_was_trained(workdirs):
    before = load_pretrained(workdirs("embedding")).variables
    after = load_pretrained(workdirs("embedding_conditional")).variables["embedder"]
    jax.tree.map(np.testing.assert_array_equal, before, after)


def test_a_model_needs_nothing_that_it_was_made_from(workdirs):
    pairs, embedder = workdirs("embedding_conditional"), workdirs("embedding")
    gone = embedder.rename(embedder.with_suffix(".gone"))
    try:
        load_pretrained(pairs)
    finally:
        gone.rename(embedder)
