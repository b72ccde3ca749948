"""The optimizer: schedules, decay, clipping, and which matrix Muon sees in a kernel."""

import math
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict

from pixelcnn_jax import DiagonalBiLSTM, GatedPixelCNN, PixelCNN, RowLSTM
from pixelcnn_jax.models.conditioning.conditional_model import ConditionalModel
from pixelcnn_jax.models.conditioning.encoders import Deconvolution, Encoder
from pixelcnn_jax.models.declarations import declared_variables
from pixelcnn_jax.models.inputs import Condition
from pixelcnn_jax.training.optimizer import OptimizerConfig, is_trained, make_optimizer, make_schedule, muon_axes
from pixelcnn_jax.training.warm_start import warm_started


def updates_of(config, params, gradient, *, count, steps=10):
    optimizer = make_optimizer(config, None, steps=steps)
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
    clip = make_optimizer(OptimizerConfig(warmup_steps=0), None, steps=10)
    params = {"a": jnp.zeros(1), "b": jnp.zeros(1)}
    # Adam's first step forgets the size of a gradient, its second moment does not.
    _, state = clip.update({"a": jnp.full(1, 30.0), "b": jnp.full(1, 40.0)}, clip.init(params), params)
    moments = optax.tree.get(state, "nu")
    np.testing.assert_allclose([moments["a"][0], moments["b"][0]], [0.01 * 0.6**2, 0.01 * 0.8**2], rtol=1e-5)


def matrices(networks, variables):
    """Rows and columns of the matrix that Muon sees in each leaf, None for Adam's; and whether all axes are used."""
    declared, actual = declared_variables(networks), {}
    axes = flatten_dict(muon_axes(declared)(variables))
    for path, x in flatten_dict(variables).items():
        if (one := axes[path]) is not None:
            stacked = int(path in declared and declared[path].layers is not None)
            assert sorted((*one.reduction_axis, *one.output_axis)) == list(range(stacked, x.ndim)), path
            one = tuple(math.prod(x.shape[i] for i in chosen) for chosen in one)
        actual[path] = one
    return actual


@pytest.mark.parametrize(("features", "channels"), [(2, 1), (4, 3), (6, 3)])  # 2 and 4 are numbers of gates as well
@pytest.mark.parametrize("network", [GatedPixelCNN, PixelCNN, RowLSTM, DiagonalBiLSTM])
def test_muon_sees_one_matrix_per_kernel_its_rows_the_inputs(network, features, channels):
    model = network(levels=4, channels=channels, features=features, layers=2, kernel_size=3, first_kernel_size=5)
    images = jnp.zeros((1, 5, 5, channels), jnp.int32)
    h, s = jnp.zeros((1, 3)), jnp.zeros((1, 5, 5, 4))
    variables = jax.eval_shape(model.init, jax.random.key(0), images, h, s)
    expected = {
        ("params", *path): (math.prod(one.inputs), math.prod(one.outputs)) if one.inputs else None
        for path, one in flatten_dict(model.parameter_shapes(Condition(h, s))).items()
    }
    assert matrices({"a": model}, {"a": variables}) == {("a", *path): size for path, size in expected.items()}
    found = matrices(ConditionalModel(model, None), {"params": {"network": variables["params"]}})
    assert found == {(path[0], "network", *path[1:]): size for path, size in expected.items()}


def test_muon_sees_the_kernels_of_encoders_and_decoders():
    encoder = Encoder(outputs=3, levels=4, features=(2, 4))
    variables = jax.eval_shape(encoder.init, jax.random.key(0), jnp.zeros((1, 8, 8, 1), jnp.int32))
    actual = sorted(size for size in matrices(encoder, variables).values() if size)
    assert actual == sorted([(9, 2), (18, 2), (18, 4), (36, 4), (16, 3)])
    decoder = Deconvolution((4, 4, 2), features=(4,))
    variables = jax.eval_shape(decoder.init, jax.random.key(0), jnp.zeros((1, 3)))
    assert all(size for name, size in matrices(decoder, variables).items() if "kernel" in name)


def test_muon_leaves_an_embedding_to_adam():
    model = GatedPixelCNN(levels=4, channels=1, features=4, layers=1, code_features=4)
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 5, 5, 1), jnp.int32))
    assert [size for name, size in matrices(model, variables).items() if "embedding" in name] == [None]


def test_names_in_a_tree_of_ones_own_mean_nothing():
    kernel, table = jax.ShapeDtypeStruct((3, 3, 16, 32), "float32"), jax.ShapeDtypeStruct((5, 4), "float32")
    leaves = {"kernel": kernel, "x_s": table, "log_h": table, "bias": table}
    tree = {"params": dict.fromkeys(("vertical", "layers", "state", "mine"), leaves)}
    found = matrices(None, tree)
    for name in ("vertical", "layers", "state", "mine"):
        assert [found["params", name, leaf] for leaf in leaves] == [(144, 32), (5, 4), (5, 4), None]


class Renamed(GatedPixelCNN):
    """The same network with other names of all parameters."""

    @nn.nowrap
    def parameter_shapes(self, condition):
        return renamed(super().parameter_shapes(condition))

    @nn.nowrap
    def forward(self, params, inputs, condition, *, key=None):
        return super().forward(renamed(params, -1), inputs, condition, key=key)


def renamed(tree, letters=1):
    """Puts a letter before each name, or takes it away."""
    change = (lambda name: f"q{name}") if letters > 0 else (lambda name: name[1:])
    return {change(name): renamed(x, letters) if isinstance(x, dict) else x for name, x in tree.items()}


def test_only_collections_beside_the_parameters_are_not_trained():
    network, tree = GatedPixelCNN(levels=2), {"part": {"kernel": 1}}
    for variables in (tree, {"params": tree}, {"masks": tree, "params": tree}):
        for networks, given in ((network, variables), ({"a": network}, {"a": variables})):
            trained = jax.tree_util.tree_map_with_path(partial(is_trained, networks, given), given)
            assert jax.tree.leaves(trained) == [False] * ("masks" in variables) + [True]


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_a_network_with_other_names_is_trained_alike(name):
    options = dict(levels=4, channels=3, features=6, layers=2)
    model, other = GatedPixelCNN(**options), Renamed(**options)
    images, h, s = jnp.zeros((1, 5, 5, 3), jnp.int32), jnp.ones((1, 3)), jnp.ones((1, 5, 5, 4))
    params = dict(model.init(jax.random.key(0), images, h, s)["params"])
    np.testing.assert_array_equal(
        other.apply({"params": renamed(params)}, images, h, s), model.apply({"params": params}, images, h, s)
    )
    config = OptimizerConfig(name=name, weight_decay=0.1, warmup_steps=0)

    def first_update(network, variables):
        optimizer = make_optimizer(config, network, steps=10)
        return jax.jit(lambda x: optimizer.update(x, optimizer.init(x), x)[0])(variables)

    pair = first_update(model, {"params": params}), first_update(other, {"params": renamed(params)})
    jax.tree.map(np.testing.assert_array_equal, pair[1], {"params": renamed(pair[0]["params"])})
    without = {part: {x: y for x, y in layer.items() if x[-2:] not in ("_h", "_s")} for part, layer in params.items()}
    started = warm_started({"params": renamed(params)}, {"params": renamed(without)}, other)
    expected = warm_started({"params": params}, {"params": without}, model)
    jax.tree.map(np.testing.assert_array_equal, started, {"params": renamed(expected["params"])})
    assert not expected["params"]["layers"]["vertical_h"].any()
