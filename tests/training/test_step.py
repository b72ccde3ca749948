"""One training step: its size, its microbatches, its noise, and gradients that are not finite."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from tiny_runs import tiny_experiment

from pixelcnn_jax import InputError
from pixelcnn_jax.foundation.devices import data_mesh, replicated, shard_batch
from pixelcnn_jax.training.experiment import Experiment
from pixelcnn_jax.training.step import init_state, train_step

KEY = jax.random.key(1)


def compiled(experiment, optimizer, mesh=None, *, ema_decay=0.9, **options):
    """The step as one program."""
    options |= dict(experiment=experiment, optimizer=optimizer, mesh=mesh, ema_decay=ema_decay)
    return jax.jit(partial(train_step, **options), out_shardings=mesh and replicated(mesh))


def toy(loss):
    """An experiment with one parameter, x, which begins at 0, in half precision, and is trained in float32."""
    return Experiment(lambda key: {"x": jnp.zeros((), jnp.bfloat16)}, loss, lambda params, key, source: None, None)


def linear(params, batch, key):
    return params["x"] * batch["image"][:, 0, 0, 0]


def numbers(*values):
    return {"image": np.array(values, np.float32).reshape(-1, 1, 1, 1)}


def images(count):
    return np.random.default_rng(0).integers(17, size=(count, 8, 8, 1), dtype=np.int32)


@pytest.mark.parametrize("devices", [1, 8])
@pytest.mark.parametrize("microbatch_size", [None, 2])
def test_steps_and_averages_of_known_size(devices, microbatch_size):
    """Each step lowers x by the mean of 0 to 15. The EMA follows with decays 1/10, then 0.15, which is below 2/11."""
    mesh, optimizer = data_mesh(jax.devices()[:devices]), optax.sgd(1.0)
    state = jax.device_put(init_state(toy(linear), optimizer, KEY), replicated(mesh))
    step = compiled(toy(linear), optimizer, mesh, ema_decay=0.15, microbatch_size=microbatch_size)
    actual = []
    for _ in range(3):
        state, (loss, norm, _) = step(state, shard_batch(mesh, numbers(*range(16))), KEY)
        assert norm == 7.5
        actual.append([float(x) for x in (loss, state.params["x"], state.ema["x"])])
    first = 0.9 * -7.5
    second = 0.15 * first + 0.85 * -15
    expected = [[0, -7.5, first], [-56.25, -15, second], [-112.5, -22.5, 0.15 * second + 0.85 * -22.5]]
    np.testing.assert_allclose(actual, expected, rtol=1e-6)
    assert int(state.step) == 3
    assert state.params["x"].dtype == state.ema["x"].dtype == jnp.float32


@pytest.mark.parametrize(
    ("dropout", "ways", "tolerance"),  # devices and microbatch size of each way
    [
        (0.0, [(1, None), (1, 4)], 2e-3),
        (0.3, [(1, 2), (4, 2)], 1e-4),  # each microbatch has the same noise on any number of devices
    ],
)
def test_microbatches_and_devices_share_the_step_and_sum_its_gradient_once(dropout, ways, tolerance):
    _, experiment, optimizer = tiny_experiment(model__dropout=dropout)
    actual = []
    for devices, size in ways:
        mesh = data_mesh(jax.devices()[:devices])
        state = jax.jit(partial(init_state, experiment, optimizer), out_shardings=replicated(mesh))(KEY)
        batch = shard_batch(mesh, {"image": images(16)})
        step = compiled(experiment, optimizer, mesh, microbatch_size=size).lower(state, batch, KEY).compile()
        for _ in range(3):
            state, (loss, *_) = step(state, batch, KEY)
        actual.append([loss, *jax.tree.leaves(state.params)])
    for one, other in zip(*actual, strict=True):
        np.testing.assert_allclose(other, one, rtol=tolerance, atol=tolerance)
    sums = [line for line in step.as_text().splitlines() if " all-reduce(" in line]
    assert sums or devices == 1
    assert not any("/while/" in line for line in sums), sums


def test_every_microbatch_and_every_step_has_noise_of_its_own():
    def noisy(params, batch, key):
        return params["x"] * jax.random.normal(KEY if key is None else key, (len(batch["image"]),))

    optimizer = optax.sgd(1.0)
    state, expected = init_state(toy(noisy), optimizer, KEY), 0.0
    step = compiled(toy(noisy), optimizer, microbatch_size=8)
    for number in range(2):
        state, _ = step(state, {"image": images(16)}, KEY)
        step_key = jax.random.fold_in(KEY, number)
        parts = [jax.random.normal(jax.random.fold_in(step_key, i), (8,)) for i in range(2)]
        expected = expected - float(jnp.mean(jnp.stack(parts)))
        np.testing.assert_allclose(state.params["x"], expected, rtol=1e-5)


@pytest.mark.parametrize("shapes", [[(), ()], [(1,), (1,)], [(2, 1), (2, 1)], [(2,), (2, 3)]])
def test_a_loss_has_a_value_for_each_image_in_training_and_in_evaluation(shapes):
    loss = toy(lambda params, batch, key: jnp.broadcast_to(params["x"], shapes[key is None]))
    step = compiled(loss, optax.sgd(1.0))
    with pytest.raises(InputError, match="loss must return a value for each image of a batch, got shape"):
        step(init_state(toy(linear), optax.sgd(1.0), KEY), numbers(1, 2), KEY)


@pytest.mark.parametrize("microbatch_size", [None, 1])
def test_a_step_without_a_finite_gradient_changes_only_the_counters(microbatch_size):
    optimizer = optax.adam(optax.constant_schedule(1.0))
    step = compiled(toy(linear), optimizer, microbatch_size=microbatch_size)
    before, _ = step(init_state(toy(linear), optimizer, KEY), numbers(1, 2), KEY)
    state = before
    for count, bad in enumerate((np.nan, np.inf), start=1):
        state, (loss, *_) = step(state, numbers(bad, bad), KEY)
        assert np.isnan(loss)
        assert int(state.skipped) == count
        assert int(state.step) == 1 + count
        jax.tree.map(np.testing.assert_array_equal, (state.params, state.ema, state.optimizer), before[1:4])
    state, (loss, *_) = step(state, numbers(1, 2), KEY)
    assert int(state.skipped) == 0
    assert float(state.params["x"]) < float(before.params["x"])
    assert int(state.optimizer[1].count) == int(state.step) == 4  # the schedule counts skipped steps too


def test_bfloat16_learns_as_float32_does():
    losses = {}
    quick = dict(optimizer__schedule="constant", optimizer__warmup_steps=0, model__dropout=0.0)
    for dtype in ("float32", "bfloat16"):
        _, experiment, optimizer = tiny_experiment(model__dtype=dtype, **quick)
        state = jax.jit(partial(init_state, experiment, optimizer))(KEY)
        step = compiled(experiment, optimizer)
        for _ in range(30):
            state, (losses[dtype], *_) = step(state, {"image": images(16) // 8}, KEY)
    assert losses["float32"] < 110  # it begins at 181 nats
    np.testing.assert_allclose(losses["bfloat16"], losses["float32"], rtol=0.02)
