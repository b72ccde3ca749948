"""The triplet loss by hand, and interpolations on the sphere."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments.shared.triplets import between, on_unit_sphere, squared_distances, triplet_loss


def test_triplets_by_hand():
    angles = jnp.array([0.0, 0.3, 0.5, 1.5])
    embeddings = jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=1)
    labels = jnp.array([0, 0, 1, 1])
    d = np.asarray(squared_distances(embeddings, embeddings))
    expected = [
        max(0, d[0, 1] - d[0, 2] + 0.2),  # the nearest that is farther than the positive
        max(0, d[1, 0] - d[1, 3] + 0.2),  # 2 is nearer than the positive, so not it
        max(0, d[2, 3] - d[2, 0] + 0.2),  # none is farther: the farthest
        max(0, d[3, 2] - d[3, 1] + 0.2),
    ]
    np.testing.assert_allclose(triplet_loss(embeddings, labels, copies=jnp.eye(4, dtype=bool)), expected, rtol=1e-5)
    alone = triplet_loss(embeddings, jnp.arange(4), copies=jnp.eye(4, dtype=bool))
    np.testing.assert_array_equal(alone, 0)


def test_a_copy_is_no_pair_but_a_collapse_costs_the_margin():
    embeddings, labels = on_unit_sphere(jnp.array([[1.0, 0], [1, 0], [1, 0]])), jnp.array([0, 0, 1])
    same = jnp.eye(3, dtype=bool)
    copies = same.at[:2, :2].set(True)
    np.testing.assert_array_equal(triplet_loss(embeddings, labels, copies=copies), 0)
    np.testing.assert_allclose(triplet_loss(embeddings, labels, copies=same), [0.2, 0.2, 0], atol=1e-6)
    np.testing.assert_array_equal(
        triplet_loss(embeddings, jnp.zeros(3, int), copies=same), 0
    )  # there is no other class


def test_between_is_on_the_sphere():
    a, b = on_unit_sphere(jax.random.normal(jax.random.key(0), (2, 5)))
    np.testing.assert_allclose(between(a, b, jnp.array(0.0)), a, atol=1e-6)
    np.testing.assert_allclose(between(a, b, jnp.array(1.0)), b, atol=1e-6)
    middle = between(a, b, jnp.array(0.5))
    np.testing.assert_allclose(jnp.sum(middle**2), 1, rtol=1e-5)
    np.testing.assert_allclose(middle @ a, middle @ b, rtol=1e-5)
