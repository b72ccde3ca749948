"""Identities, verification, and the embedding that a later experiment keeps fixed."""

import jax
import numpy as np
import pytest
from tiny import tiny_config, tiny_splits

from experiments.paper.embedding import check, identities_of, verification
from pixelcnn_jax import load_pretrained
from pixelcnn_jax.data.loading import from_array


def test_identities_are_the_first_ones_with_two_images():
    images = np.arange(7).reshape(7, 1, 1, 1)
    actual = identities_of(from_array(images, np.array([0, 3, 1, 1, 3, 3, 2]), levels=7), 2)
    assert {label: x.ravel().tolist() for label, x in actual.items()} == {3: [1, 4, 5], 1: [2, 3]}
    assert list(actual) == [3, 1]


def test_a_run_without_report_needs_no_pairs():
    config = tiny_config("embedding", {"train.report_images": 0})
    check(config, tiny_splits(config))


def test_verification_by_hand():
    angles = np.array([0, 0.1, 1.0, 1.1, 2.0, 2.1])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    perfect = verification(embeddings, np.array([0, 0, 1, 1, 2, 2]))
    assert perfect == {"auc": 1, "equal_error_rate": 0, "verification_rate_at_far_0.01": 1}
    mixed = verification(embeddings, np.array([0, 1, 0, 1, 0, 1]))
    assert mixed["auc"] < 0.6
    # Pairs by closeness: other, other, same, other, same, other. Three accepted are two of four false ones and one of
    # two true ones, so half are false accepts and half false rejects.
    corner = np.array([0, 0.1, 0.6, 2.0])
    between_two = np.stack([np.cos(corner), np.sin(corner)], axis=1).astype(np.float32)
    assert verification(between_two, np.array([0, 1, 0, 1]))["equal_error_rate"] == pytest.approx(0.5)


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
