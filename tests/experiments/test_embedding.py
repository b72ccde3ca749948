"""Identities, the triplet loss, verification, interpolations, and the embedding that a later experiment keeps fixed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from array_sets import from_array
from tiny import settings_of, tiny_splits

from experiments.paper.embedding import check, identities_of, on_unit_sphere, triplet_loss, verification
from experiments.paper.embedding_conditional import between
from pixelcnn_jax import load_pretrained


def test_identities_are_the_first_ones_with_two_images():
    images = np.arange(7).reshape(7, 1, 1, 1)
    actual = identities_of(from_array(images, np.array([0, 3, 1, 1, 3, 3, 2]), levels=7), 2)
    assert {label: x.ravel().tolist() for label, x in actual.items()} == {3: [1, 4, 5], 1: [2, 3]}
    assert list(actual) == [3, 1]


def test_a_run_without_report_needs_no_pairs():
    config = settings_of("embedding", {"train.report_images": 0})
    check(config, tiny_splits(config))


def test_verification_by_hand():
    angles = np.array([0, 0.1, 1.0, 1.1, 2.0, 2.1])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    perfect = verification(embeddings, np.array([0, 0, 1, 1, 2, 2]))
    assert perfect == {"auc": 1, "equal_error_rate": 0, "verification_rate_at_far_0.01": 1}
    assert verification(embeddings, np.array([0, 1, 0, 1, 0, 1]))["auc"] < 0.6
    # Pairs by closeness: other, other, same, other, same, other. Three accepted are two of four false ones and one of
    # two true ones, so half are false accepts and half false rejects.
    corner = np.array([0, 0.1, 0.6, 2.0])
    between_two = np.stack([np.cos(corner), np.sin(corner)], axis=1).astype(np.float32)
    assert verification(between_two, np.array([0, 1, 0, 1]))["equal_error_rate"] == pytest.approx(0.5)


def test_triplets_by_hand():
    angles = jnp.array([0.0, 0.3, 0.5, 1.5])
    embeddings = jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1)
    labels = jnp.array([0, 0, 1, 1])
    d = ((embeddings[:, None] - embeddings[None]) ** 2).sum(axis=2)
    expected = [
        max(0, d[0, 1] - d[0, 2] + 0.2),  # the nearest that is farther than the positive
        max(0, d[1, 0] - d[1, 3] + 0.2),  # 2 is nearer than the positive, so not it
        max(0, d[2, 3] - d[2, 0] + 0.2),  # none is farther: the farthest
        max(0, d[3, 2] - d[3, 1] + 0.2),
    ]
    np.testing.assert_allclose(triplet_loss(embeddings, labels, copies=jnp.eye(4, dtype=bool)), expected, rtol=1e-5)
    np.testing.assert_array_equal(triplet_loss(embeddings, jnp.arange(4), copies=jnp.eye(4, dtype=bool)), 0)
    padded, labels = jnp.array([0, 1, 2, 3, 3, 3]), jnp.array([0, 1, 0, 0])  # the padding of a batch counts once
    losses = [triplet_loss(embeddings[i], labels[i], copies=i[:, None] == i[None])[:4] for i in (padded, padded[:4])]
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_a_copy_is_no_pair_but_a_collapse_costs_the_margin():
    embeddings, labels, same = on_unit_sphere(jnp.array([[1.0, 0]] * 3)), jnp.array([0, 0, 1]), jnp.eye(3, dtype=bool)
    np.testing.assert_array_equal(triplet_loss(embeddings, labels, copies=same.at[:2, :2].set(True)), 0)
    np.testing.assert_allclose(triplet_loss(embeddings, labels, copies=same), [0.2, 0.2, 0], atol=1e-6)
    np.testing.assert_array_equal(triplet_loss(embeddings, jnp.zeros(3, int), copies=same), 0)


def test_between_is_on_the_sphere():
    a, b = on_unit_sphere(jax.random.normal(jax.random.key(0), (2, 5)))
    np.testing.assert_allclose(between(a, b, jnp.array(0.0)), a, atol=1e-6)
    np.testing.assert_allclose(between(a, b, jnp.array(1.0)), b, atol=1e-6)
    middle = between(a, b, jnp.array(0.5))
    np.testing.assert_allclose(jnp.sum(middle**2), 1, rtol=1e-5)
    np.testing.assert_allclose(middle @ a, middle @ b, rtol=1e-5)


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
