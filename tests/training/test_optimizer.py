"""The optimizer: schedules, decay, clipping, and which matrix Muon sees in a kernel."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pixelcnn_jax import DiagonalBiLSTM, GatedPixelCNN, PixelCNN, RowLSTM
from pixelcnn_jax.models.conditioning.encoders import Deconvolution, Encoder
from pixelcnn_jax.models.inputs import Condition
from pixelcnn_jax.training.optimizer import OptimizerConfig, make_optimizer, make_schedule, muon_axes


def updates_of(config, params, gradient, *, count, steps=10):
    optimizer = make_optimizer(config, steps=steps)
    state, updates = optimizer.init(params), []
    for _ in range(count):
        update, state = optimizer.update(gradient, state, params)
        updates.append(update)
    return updates


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_kernels_alone_decay(name):
    config = OptimizerConfig(name=name, weight_decay=0.1, warmup_steps=0, learning_rate=0.5)
    others = {"bias": jnp.ones(2), "scale": jnp.ones(2), "embedding": jnp.ones((3, 2))}
    params = {"layer": [{"kernel": jnp.ones((2, 2)), **others}], "kernel": jnp.ones(2)}  # a user's tree may hold lists
    updates = updates_of(config, params, jax.tree.map(jnp.zeros_like, params), count=11)
    np.testing.assert_allclose(updates[0]["layer"][0]["kernel"], -0.5 * 0.1, rtol=1e-6)
    for other in others:
        np.testing.assert_array_equal(updates[0]["layer"][0][other], 0)
    np.testing.assert_allclose(updates[10]["layer"][0]["kernel"], 0, atol=1e-9)  # the cosine has ended at zero


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_without_warm_up_the_first_step_has_the_full_learning_rate(schedule):
    config = OptimizerConfig(schedule=schedule, warmup_steps=0, learning_rate=0.25)
    updates = updates_of(config, {"kernel": jnp.zeros(3)}, {"kernel": jnp.ones(3)}, count=1)
    np.testing.assert_allclose(updates[0]["kernel"], -0.25, rtol=1e-4)  # of Adam the first step is the rate itself


@pytest.mark.parametrize(
    ("schedule", "decay", "later"),
    [
        ("constant", 0.0, [1.0, 1.0, 1.0]),
        ("constant", 0.5, [1.0, 1.0, 0.0]),
        ("constant", 1.0, [1.0, 0.5, 0.0]),
        ("cosine", 0.0, [1.0, 0.5, 0.0]),
    ],
)
def test_the_learning_rate_rises_from_the_first_step_and_then_follows_its_schedule(schedule, decay, later):
    rate = make_schedule(OptimizerConfig(schedule=schedule, decay=decay, warmup_steps=4, learning_rate=2.0), steps=12)
    np.testing.assert_allclose([rate(step) for step in (0, 1, 2)], [0.4, 0.8, 1.2], rtol=1e-6)
    np.testing.assert_allclose([rate(step) for step in (4, 8, 12)], 2.0 * np.array(later), atol=1e-6)


def test_gradients_are_clipped_to_a_global_norm():
    clip = make_optimizer(OptimizerConfig(warmup_steps=0), steps=10)
    params = {"a": jnp.zeros(1), "b": jnp.zeros(1)}
    # Adam's first step forgets the size of a gradient, its second moment does not.
    _, state = clip.update({"a": jnp.full(1, 30.0), "b": jnp.full(1, 40.0)}, clip.init(params), params)
    moments = optax.tree.get(state, "nu")
    np.testing.assert_allclose([moments["a"][0], moments["b"][0]], [0.01 * 0.6**2, 0.01 * 0.8**2], rtol=1e-5)


def matrices(params):
    """Rows and columns of the matrix that Muon sees in each leaf, None for Adam's; and whether all axes are used."""
    axes = muon_axes(params)
    actual = {}
    for (path, x), one in zip(
        jax.tree_util.tree_leaves_with_path(params),
        jax.tree.leaves(axes, is_leaf=lambda x: x is None or not isinstance(x, dict)),
        strict=True,
    ):
        if one is not None:
            stacked = int("layers" in [entry.key for entry in path])
            rest = sorted((*one.reduction_axis, *one.output_axis))
            assert rest == list(range(stacked, x.ndim)), path
            one = tuple(math.prod(x.shape[i] for i in chosen) for chosen in one)
        actual[jax.tree_util.keystr(path)] = one
    return actual


@pytest.mark.parametrize(("features", "channels"), [(2, 1), (4, 3), (6, 3)])  # 2 and 4 are numbers of gates as well
@pytest.mark.parametrize("network", [GatedPixelCNN, PixelCNN, RowLSTM, DiagonalBiLSTM])
def test_muon_sees_one_matrix_per_kernel_its_rows_the_inputs(network, features, channels):
    model = network(levels=4, channels=channels, features=features, layers=2, kernel_size=3, first_kernel_size=5)
    images = jnp.zeros((1, 5, 5, channels), jnp.int32)
    h, s = jnp.zeros((1, 3)), jnp.zeros((1, 5, 5, 4))
    params = jax.eval_shape(model.init, jax.random.key(0), images, h, s)["params"]
    shapes = model.parameter_shapes(Condition(h, s))
    expected = {
        jax.tree_util.keystr(path): (math.prod(one.inputs), math.prod(one.outputs)) if one.gain else None
        for path, one in jax.tree_util.tree_leaves_with_path(shapes, is_leaf=lambda x: hasattr(x, "outputs"))
    }
    assert matrices(params) == expected


def test_muon_sees_the_kernels_of_encoders_and_decoders():
    encoder = Encoder(outputs=3, levels=4, features=(2, 4))
    params = jax.eval_shape(encoder.init, jax.random.key(0), jnp.zeros((1, 8, 8, 1), jnp.int32))["params"]
    actual = sorted(size for size in matrices(params).values() if size)
    assert actual == sorted([(9, 2), (18, 2), (18, 4), (36, 4), (16, 3)])
    decoder = Deconvolution((4, 4, 2), features=(4,))
    params = jax.eval_shape(decoder.init, jax.random.key(0), jnp.zeros((1, 3)))["params"]
    assert all(size for name, size in matrices(params).items() if "kernel" in name)


def test_muon_leaves_an_embedding_to_adam():
    model = GatedPixelCNN(levels=4, channels=1, features=4, layers=1, code_features=4)
    params = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 5, 5, 1), jnp.int32))
    assert [size for name, size in matrices(params).items() if "embedding" in name] == [None]
