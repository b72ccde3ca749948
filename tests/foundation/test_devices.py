"""One device, many, other platforms: the same loss, gradient and step."""

import math
import os
import platform
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import export
from tiny_runs import tiny

from pixelcnn_jax.foundation import devices
from pixelcnn_jax.foundation.devices import data_mesh, replicated, shard_batch
from pixelcnn_jax.training.optimizer import make_optimizer
from pixelcnn_jax.training.step import init_state, train_step

FAULTS = """
import resource, threading
from pixelcnn_jax.foundation.devices import keep_memory
keep_memory()
for _ in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    thread = threading.Thread(target=lambda: [b"x" * 2**24 for _ in range(8)])
    thread.start(), thread.join()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def made(name, **changes):
    """The experiment, its optimizer, and what its picture starts from."""
    config, recipe, splits = tiny(name, data__labels=True, **changes)
    experiment = recipe.make_experiment(config, splits.spec, recipe.prepare(config, splits))
    optimizer = make_optimizer(config.optimizer, experiment.networks, steps=config.train.steps)
    return experiment, optimizer, jax.tree.map(jnp.asarray, recipe.picture_source(config, splits))


def batch_of(count):
    images = np.random.default_rng(0).integers(17, size=(count, 8, 8, 1), dtype=np.int32)
    return {"image": images, "label": np.arange(count, dtype=np.int32) // 2}


@pytest.mark.parametrize("name", ["unconditional", "embedding", "vae"])  # the last two couple the images of a batch
def test_any_number_of_devices_gives_the_same_loss_and_gradient(name):
    experiment, *_ = made(name)
    params, key = jax.jit(experiment.init)(jax.random.key(0)), jax.random.key(1)
    actual = {}

    @jax.jit
    def loss_and_norm(params, batch, key):
        loss, gradient = jax.value_and_grad(lambda params: jnp.mean(experiment.loss(params, batch, key)))(params)
        return loss, optax.tree.norm(gradient)

    for count in (1, 2, 4, 8) if name == "unconditional" else (1, 8):
        mesh = data_mesh(jax.devices()[:count])
        whole = jax.device_put((params, key), replicated(mesh))
        actual[count] = loss_and_norm(whole[0], shard_batch(mesh, batch_of(16)), whole[1])
        assert actual[count][0].sharding.device_set == set(jax.devices()[:count])
    for count in actual:
        np.testing.assert_allclose(actual[count], actual[1], rtol=2e-5)


@pytest.mark.parametrize("name", ["unconditional", "autoencoder", "multiscale", "tokenizer"])
def test_training_evaluation_and_sampling_compile_for_accelerators(name):
    """Lowered for TPU and CUDA, whose compilers need no device: each computes a window in its own way."""
    experiment, optimizer, source = made(name, train__sample_rows=2, train__sample_columns=2)

    def everything(state, batch, seed):
        key = jax.random.key(seed)
        step = train_step(state, batch, key, experiment=experiment, optimizer=optimizer, ema_decay=0.9)
        return step, experiment.loss(state.params, batch, None), experiment.sample(state.params, key, source)

    state = jax.eval_shape(lambda: init_state(experiment, optimizer, jax.random.key(0)))
    abstract = partial(jax.ShapeDtypeStruct, dtype=jnp.int32)
    batch = {"image": abstract((16, 8, 8, 1)), "label": abstract((16,))}
    lowered = export.export(jax.jit(everything), platforms=("tpu", "cuda"))(state, batch, abstract(()))
    assert lowered.platforms == ("tpu", "cuda")
    assert "stablehlo.convolution" in lowered.mlir_module()


def test_a_mesh_holds_the_devices_in_order():
    some = jax.devices()[:4]
    assert list(data_mesh(some[::-1]).devices) == some
    assert list(data_mesh().devices) == jax.devices()


def test_a_batch_is_split_into_consecutive_rows():
    mesh = data_mesh()
    x = shard_batch(mesh, {"image": np.arange(16)})["image"]
    np.testing.assert_array_equal(x.addressable_shards[3].data, [6, 7])
    np.testing.assert_array_equal(devices.on_one_device(jax.device_put(np.arange(4), replicated(mesh))), np.arange(4))


@pytest.mark.parametrize(("count", "expected"), [(1, []), (2, []), (3, [0]), (7, [4])])
def test_all_but_the_last_two_results_are_waited_for(monkeypatch, count, expected):
    waited = []
    monkeypatch.setattr(devices.jax, "block_until_ready", waited.append)
    devices.wait_for_older([np.array(number) for number in range(count)])
    assert waited == expected


def test_programs_are_kept_in_the_cache_of_the_user_where_it_can_be_written(tmp_path, monkeypatch):
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    (tmp_path / "file").touch()
    try:
        for home, kept, least in (("file", False, 0), ("new", True, 0), ("new", True, math.inf)):
            monkeypatch.setattr(os, "access", lambda *_, least=least: least == 0)
            jax.config.update("jax_compilation_cache_dir", None)
            monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / home))
            devices.keep_programs()
            folder = jax.config.jax_compilation_cache_dir
            assert (folder is not None and folder.startswith(str(tmp_path / home / "pixelcnn-jax/programs/"))) is kept
            assert jax.config.jax_persistent_cache_min_compile_time_secs == least
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
@pytest.mark.parametrize("keep", [True, False])
def test_freed_memory_is_kept_unless_the_environment_says_no(keep):
    environment = os.environ | {"PIXELCNN_JAX_KEEP_MEMORY": str(int(keep))}
    faults = subprocess.run([sys.executable, "-c", FAULTS], env=environment, capture_output=True, text=True, check=True)
    assert (int(faults.stdout) < 20) == keep
