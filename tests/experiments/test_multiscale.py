"""Two scales of images with odd sides."""

import jax
import jax.numpy as jnp
from tiny import tiny_experiment

from pixelcnn_jax.models.inputs import ImageSpec


def test_sides_may_be_odd():
    spec = ImageSpec(7, 5, 1, 17, 10)
    experiment, params, _ = tiny_experiment("multiscale", {"settings.classifier": None}, spec=spec)
    images = experiment.sample(params, jax.random.key(0), None)
    assert images.shape[2:] == spec.shape
    flat = images.reshape(-1, *spec.shape)
    losses = experiment.loss(params, {"image": flat, "label": jnp.zeros(len(flat), int)}, None)
    assert jnp.isfinite(losses).all()
