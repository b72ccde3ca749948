"""The cost of a step, estimated without memory."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from array_sets import from_array
from tiny_runs import tiny, tiny_experiment

from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.training.cost import check_memory, estimate_cost
from pixelcnn_jax.training.step import init_state


def cost_of(**changes):
    config, experiment, _ = tiny_experiment(**changes)
    return estimate_cost(config, experiment, tiny(**changes)[2].train)


def test_sizes_are_those_of_the_state():
    actual = cost_of()
    _, experiment, optimizer = tiny_experiment()
    state = jax.jit(partial(init_state, experiment, optimizer))(jax.random.key(0))
    assert actual["parameters"] == sum(x.size for x in jax.tree.leaves(state.params))
    assert actual["state_bytes"] == sum(x.nbytes for x in jax.tree.leaves(state))


def test_half_a_microbatch_takes_half_the_memory_and_as_many_operations():
    whole, half = cost_of(model__features=32), cost_of(model__features=32, train__microbatch_size=8)
    assert (whole["microbatch_size"], half["microbatch_size"]) == (16, 8)
    np.testing.assert_allclose(half["step_flops"], whole["step_flops"], rtol=0.1)
    assert half["microbatch_bytes"] < 0.7 * whole["microbatch_bytes"]


def test_layers_that_are_computed_again_keep_less_and_have_the_same_gradient():
    deep = dict(model__features=16, model__layers=6)
    images, gradients, kept = np.arange(128, dtype=np.int32).reshape(2, 8, 8, 1) % 17, [], []
    for changes in (deep, deep | {"model__remat": True}):
        _, experiment, _ = tiny_experiment(**changes)
        params = jax.jit(experiment.init)(jax.random.key(0))
        key = jax.random.key(1)

        def loss(params, experiment=experiment, key=key):
            return jnp.mean(experiment.loss(params, {"image": images}, key))

        gradients.append(jax.jit(jax.grad(loss))(params))
        residuals = jax.eval_shape(lambda params, loss=loss: jax.vjp(loss, params)[1], params)
        kept.append(sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(residuals)))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), *gradients)
    assert kept[1] < kept[0] / 2


def test_large_images_cost_no_memory_and_the_networks_own_operations():
    """A step has three times the multiply-adds of the network: forward, and backward for inputs and kernels."""
    before = sum(x.nbytes for x in jax.live_arrays())
    large = from_array(np.zeros((1, 64, 64, 3), np.uint8), levels=256)
    config = tiny(model__features=24, model__layers=2, model__dropout=0.0)[0]
    actual = estimate_cost(config, tiny()[1].make_experiment(config, large.spec, {}), large)
    assert sum(x.nbytes for x in jax.live_arrays()) - before < 1e6
    per_pixel = 2 * 12_096 + 7_680 + 19_008  # the layers, the first layer, the head; masked weights count
    macs = 3 * config.train.batch_size * 64 * 64 * per_pixel
    np.testing.assert_allclose(actual["step_flops"], 2 * macs, rtol=0.1)


def test_a_network_that_does_not_fit_into_memory_is_refused_at_once(monkeypatch):
    """By its shapes: nothing is compiled."""
    monkeypatch.setattr(jax, "jit", None)
    check_memory(*tiny_experiment()[:2])
    with pytest.raises(InputError, match=r"config\.model has [0-9,]+ parameters"):
        check_memory(*tiny_experiment(model__features=10**5, model__layers=20)[:2])
