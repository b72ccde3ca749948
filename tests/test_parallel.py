"""One device, many, many processes, other platforms: the same step, and what a run needs, told without running it."""

import json
import os
import shutil
import socket
import subprocess
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import export
from jax.experimental.compilation_cache import compilation_cache
from test_experiments import MODULES, tiny_config
from test_train import ROOT, TINY, command

from configs import digits, imagenet64
from experiments import cli, dry_run, trained, unconditional
from pixelcnn_jax import GatedPixelCNN, InputError
from pixelcnn_jax.data.dataset import evaluation_batches, from_array, load, no_images
from pixelcnn_jax.devices import Processes, data_mesh, join, replicated, shard_batch
from pixelcnn_jax.likelihood import nats_of
from pixelcnn_jax.models.gated_pixelcnn import multiply_adds
from pixelcnn_jax.training import loop as loop
from pixelcnn_jax.training.loop import Splits, init_state, make_optimizer, train, train_step

FEW = {
    "steps": 6,
    "eval_every": 3,
    "checkpoint_every": 2,
    "keep_checkpoints": 3,
    "model.layers": 1,
    "augment": 0.0,
}
CACHE = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
ml_collections_reads_files_as_before = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")


def images(count, shape=(8, 8, 1), levels=17):
    return np.random.default_rng(0).integers(levels, size=(count, *shape), dtype=np.int32)


@pytest.fixture(scope="module")
def made():
    """Each experiment, made when it is asked for, of the digits but without images to learn from; and an optimizer."""
    like, held_out = no_images((8, 8, 1), levels=17, classes=10), load("digits", "test[:64]", levels=17, labels=True)

    def make(name, **changes):
        config = tiny_config(name, **changes)
        experiment = MODULES[name].make_experiment(config, Splits(like, held_out, held_out))
        return config, experiment, make_optimizer(config)

    return make


def free_port():
    with socket.socket() as opened:
        opened.bind(("localhost", 0))
        return opened.getsockname()[1]


def together(workdir, **changes):
    """Two processes with a device each, of which the summary that the first prints."""
    port = free_port()
    lines = [
        [*command(workdir, **changes), f"--coordinator=localhost:{port}", "--processes=2", f"--process={i}"]
        for i in (0, 1)
    ]
    one = os.environ | {"JAX_NUM_CPU_DEVICES": "1"}
    running = [
        subprocess.Popen(line, cwd=ROOT, env=one, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for line in lines
    ]
    try:
        told = [process.communicate(timeout=240) for process in running]
    finally:
        for process in running:
            process.kill()
    for process, (_, complaint) in zip(running, told, strict=True):
        assert process.returncode == 0, complaint
    assert [line for line in told[1][0].splitlines() if "Gloo" not in line] == []  # the first alone prints
    return json.loads(told[0][0].splitlines()[-1])


def in_process(workdir, monkeypatch, devices, **changes):
    """The same run in this process, on some of its devices."""
    config = digits.get_config()
    config.update_from_flattened_dict(TINY | changes)
    splits = cli.load_splits(config)
    monkeypatch.setattr(loop, "data_mesh", lambda: data_mesh(jax.devices()[:devices]))
    return train(config, unconditional.make_experiment(config, splits), splits, workdir)


def same_bits(workdir, other):
    """Whether the best parameters of two runs are."""
    one, two = (jax.tree.leaves(trained.restore(each).params) for each in (workdir, other))
    return all(np.array_equal(x, y) for x, y in zip(one, two, strict=True))


def cut_short(workdir, to, step):
    """A copy of a run as if it had been killed after a step, its checkpoint being there."""
    shutil.copytree(workdir, to)
    (to / "result.json").unlink()
    for file in (*to.glob("checkpoints/[0-9]*"), *to.glob("best/[0-9]*")):
        if int(file.name) > step:
            shutil.rmtree(file)
    return to


def test_two_processes_train_as_one_and_a_run_goes_on_with_another_number(tmp_path, monkeypatch):
    """To the bit with as many devices in all: of six steps one process does two, two do the others; or one the last."""
    one = in_process(tmp_path / "one", monkeypatch, 2, **FEW)
    summary = together(cut_short(tmp_path / "one", tmp_path / "two", 2), **FEW)
    assert (summary["split"], summary["images"]) == ("validation", 350)
    two = json.loads((tmp_path / "two/result.json").read_text())
    assert one["scores"] == two["scores"]
    assert same_bits(tmp_path / "one", tmp_path / "two")
    steps = [json.loads(line)["step"] for line in (tmp_path / "two/metrics.jsonl").read_text().splitlines()]
    assert steps == [3, 3, 6, 6]

    alone = in_process(cut_short(tmp_path / "two", tmp_path / "alone", 4), monkeypatch, 8, **FEW)
    for split in two["scores"]:
        np.testing.assert_allclose(alone["scores"][split]["nats"], two["scores"][split]["nats"], rtol=1e-5)


@pytest.mark.parametrize(
    ("processes", "told"),
    [
        (Processes("localhost:{free}", 2, 1), "did not come together at localhost:[0-9]+ within 0.3 seconds"),
        (Processes("localhost:{free}", 2, 0), "did not come together"),
        (Processes("localhost", 2, 0), "coordinator must be HOST:PORT"),
        (Processes("localhost:{free}", 2, 2), "process must be 0 to 1"),
    ],
)
def test_processes_that_cannot_come_together(processes, told):
    processes = processes._replace(coordinator=processes.coordinator.format(free=free_port()))
    with pytest.raises(InputError, match=told):
        join(processes, seconds=0.3)


def test_processes_share_the_batches_of_an_evaluation():
    few = from_array(np.arange(9).reshape(9, 1, 1, 1), levels=9)
    whole = list(evaluation_batches(few, batch_size=6))
    shares = [list(evaluation_batches(few, batch_size=6, process_index=i, process_count=3)) for i in range(3)]
    for name in ("image", "mask"):
        for batch, parts in zip(whole, zip(*shares, strict=True), strict=True):
            np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), batch[name])
    assert sum(batch["mask"].sum() for batch in whole) == 9
    with pytest.raises(InputError, match="multiple of the 4 processes"):
        evaluation_batches(few, batch_size=6, process_count=4)


@ml_collections_reads_files_as_before
def test_flags_of_processes_come_together(tmp_path):
    with pytest.raises(InputError, match="come together"):
        cli.parse(["", "--config=configs/digits.py", f"--workdir={tmp_path}/new", "--processes=2"])


def gradient_of(experiment):
    """The mean loss and its gradient's norm, as a function of parameters, a batch and a key."""

    def mean_loss(params, batch, key):
        return jnp.mean(experiment.loss(params, batch | {"step": jnp.zeros((), jnp.int32)}, key))

    def found(params, batch, key):
        loss, gradient = jax.value_and_grad(mean_loss)(params, batch, key)
        return loss, optax.tree.norm(gradient)

    return found


@pytest.mark.parametrize("name", MODULES)
def test_any_number_of_devices_gives_the_same_loss_and_gradient(name, made):
    _, experiment, _ = made(name)
    params, key = jax.jit(experiment.init)(jax.random.key(0)), jax.random.key(1)
    batch = {"image": images(16), "label": np.arange(16, dtype=np.int32) // 2}
    function, found = jax.jit(gradient_of(experiment)), {}
    for count in (1, 2, 4, 8) if name == "unconditional" else (1, 8):
        mesh = data_mesh(jax.devices()[:count])
        whole = jax.device_put((params, key), replicated(mesh))
        found[count] = function(whole[0], shard_batch(mesh, batch), whole[1])
        assert found[count][0].sharding.device_set == set(jax.devices()[:count])
    for count in found:
        np.testing.assert_allclose(found[count], found[1], rtol=2e-5)


def test_jit_sharded_jit_and_pmap_take_the_same_step(made):
    _, experiment, _ = made("unconditional", **{"model.dropout": 0.0})
    params, batch = jax.jit(experiment.init)(jax.random.key(0)), {"image": images(16)}

    def step(params, batch, *, over=lambda x: x):
        gradient = over(jax.grad(lambda params: jnp.mean(experiment.loss(params, batch, None)))(params))
        return jax.tree.map(lambda x, g: x - 0.1 * g, params, gradient)

    expected = jax.jit(step)(params, batch)
    mesh = data_mesh()
    sharded = jax.jit(step, out_shardings=replicated(mesh))(params, shard_batch(mesh, batch))
    # A loss is the mean over a device's own images, so its gradients are averaged, once.
    parallel = jax.pmap(partial(step, over=partial(jax.lax.pmean, axis_name="data")), "data", in_axes=(None, 0))
    parts = jax.tree.map(lambda x: x.reshape(8, 2, *x.shape[1:]), batch)
    for found in (sharded, jax.tree.map(lambda x: x[3], parallel(params, parts))):
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), found, expected)


@pytest.mark.parametrize("name", MODULES)
def test_training_evaluation_and_sampling_compile_for_accelerators(name, made):
    """Lowered for TPU and CUDA, whose compilers need no device to be there; and each takes its own way of a window."""
    config, experiment, optimizer = made(name, sample_rows=2, sample_columns=2)

    def everything(state, batch, seed):
        key = jax.random.key(seed)
        step = train_step(
            state, batch, key, experiment=experiment, optimizer=optimizer, ema=0.9, at_once=config.at_once
        )
        return step, experiment.loss(state.params, batch, None), experiment.sample(state.params, key)

    state = jax.eval_shape(lambda: init_state(experiment, optimizer, jax.random.key(0)))
    abstract = partial(jax.ShapeDtypeStruct, dtype=jnp.int32)
    batch = {"image": abstract((16, 8, 8, 1)), "label": abstract((16,))}
    lowered = export.export(jax.jit(everything), platforms=("tpu", "cuda"))(state, batch, abstract(()))
    assert lowered.platforms == ("tpu", "cuda")
    assert "stablehlo.convolution" in lowered.mlir_module()


def test_layers_computed_again_have_the_same_gradient_and_keep_less():
    gradients, kept = [], []
    for remat in (False, True):
        model = GatedPixelCNN(levels=4, channels=2, features=8, layers=2, dropout=0.2, remat=remat)
        x = images(2, (4, 5, 2), levels=4)
        params = jax.jit(model.init)(jax.random.key(0), x)

        def loss(params, model=model, x=x):
            return jnp.mean(nats_of(model, params, x, key=jax.random.key(1)))

        gradients.append(jax.jit(jax.grad(loss))(params))
        backward = jax.make_jaxpr(lambda params, loss=loss: jax.tree.leaves(jax.vjp(loss, params)[1]))(params)
        kept.append(dry_run.kept_bytes(backward.jaxpr, branch=-1))
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), *gradients)
    assert kept[1] < kept[0] / 2


def test_bfloat16_learns_as_float32_does(made):
    losses, quick = {}, {"schedule": "constant", "learning_rate": 1e-2, "warmup_steps": 1, "model.dropout": 0.0}
    for dtype in ("float32", "bfloat16"):
        _, experiment, optimizer = made("unconditional", **quick, **{"model.dtype": dtype})
        state = jax.jit(partial(init_state, experiment, optimizer))(jax.random.key(0))
        step = jax.jit(partial(train_step, experiment=experiment, optimizer=optimizer, ema=0.9))
        for _ in range(30):
            state, losses[dtype] = step(state, {"image": images(16) // 8}, jax.random.key(1))
    assert losses["float32"] < 110  # of 181 nats at first
    np.testing.assert_allclose(losses["bfloat16"], losses["float32"], rtol=0.02)


@ml_collections_reads_files_as_before
def test_a_dry_run_of_imagenet_needs_neither_images_nor_memory(capsys):
    """Its count of a step is three times the network's own of the images, by the sizes of its kernels."""
    before = sum(x.nbytes for x in jax.live_arrays())
    cli.main(unconditional.make_experiment, ["", "--config=configs/imagenet64.py", "--dry_run"])
    told = capsys.readouterr().out
    assert sum(x.nbytes for x in jax.live_arrays()) - before < 1e6
    found = json.loads(told.splitlines()[-1])
    assert (found["shape"], found["levels"]) == ([64, 64, 3], 256)
    assert f"{found['parameters']:,}" in told
    assert found["state_bytes"] == 4 * (4 * found["parameters"] + 3)  # three counters of steps
    model = GatedPixelCNN(levels=256, channels=3, **imagenet64.get_config().model)
    macs = 3 * 128 * multiply_adds(model, 64, 64)
    np.testing.assert_allclose(found["step_flops"], 2 * macs, rtol=0.03)
    assert found["kept_bytes"] < found["kept_bytes_on_cpu"]


def test_a_dry_run_counts_as_xla_does(made, capsys):
    config, experiment, optimizer = made("unconditional", at_once=None)
    found = dry_run.needs(config, experiment, no_images((8, 8, 1), levels=17, classes=None))
    state = jax.eval_shape(lambda: init_state(experiment, optimizer, jax.random.key(0)))
    step = jax.jit(partial(train_step, experiment=experiment, optimizer=optimizer, ema=0.9))
    key = jax.eval_shape(lambda: jax.random.key(0))
    lowered = step.lower(state, {"image": jax.ShapeDtypeStruct((16, 8, 8, 1), jnp.int32)}, key)
    np.testing.assert_allclose(found["step_flops"], lowered.cost_analysis()["flops"], rtol=0.3)
    config, experiment, _ = made("unconditional", at_once=8)
    halves = dry_run.needs(config, experiment, no_images((8, 8, 1), levels=17, classes=None))
    assert halves["step_flops"] == found["step_flops"]
    assert halves["kept_bytes"] < 0.6 * found["kept_bytes"]


def test_multiply_adds_by_hand():
    """Network R: of each pixel 7 layers of 86,016, the strict one's 26,880, and the head's 20,480; half a GMAC."""
    model = GatedPixelCNN(levels=256, channels=1, features=64, layers=7)
    assert multiply_adds(model, 28, 28) == 784 * (7 * 86_016 + 26_880 + 20_480) == 509_186_048
    assert multiply_adds(model, 28, 28, h=10) == 509_186_048 + 8 * 2 * 10 * 128
    assert multiply_adds(model, 28, 28, s=3) == 509_186_048 + 784 * 8 * 2 * 3 * 128


def test_a_set_that_is_not_there_is_described(tmp_path):
    found = load("imagenet_resized/64x64", "train[:50%]", data_dir=tmp_path, labels=True, absent=True)
    assert (found.shape, found.levels, found.classes) == ((64, 64, 3), 256, 1000)
    small = load("mnist", "train", data_dir=tmp_path, binarize="threshold", resize=14, absent=True)
    assert (small.shape, small.levels, small.classes) == ((14, 14, 1), 2, None)
    ink = load("omniglot", "small1", data_dir=tmp_path, binarize="threshold", grey=True, invert=True, absent=True)
    assert (ink.shape, ink.levels) == ((105, 105, 1), 2)
    with pytest.raises(InputError, match="did you mean mnist"):
        load("mnsit", "train", data_dir=tmp_path, absent=True)
    known = load("binarized_mnist", "train", data_dir=tmp_path, levels=2, absent=True)
    assert (known.shape, known.levels) == ((28, 28, 1), 2)
    assert "classes unknown" in load("lfw", "train", data_dir=tmp_path, labels=True, absent=True).description
    with pytest.raises(InputError, match="celeb_a has no class labels"):
        load("celeb_a", "train", data_dir=tmp_path, labels=True, absent=True)
    assert not any(tmp_path.iterdir())


def test_what_was_compiled_is_kept_and_gives_the_same_bits(tmp_path):
    def compute(x):
        return jnp.tanh(x @ x.T).sum(axis=0)

    before = {name: jax.config.values[name] for name in CACHE}
    x = np.random.default_rng(0).normal(size=(8, 8)).astype(np.float32)
    try:
        cli.keep_compiled(str(tmp_path / "compiled"))
        compilation_cache.reset_cache()
        results, files = [], []
        for _ in range(2):
            jax.clear_caches()
            results.append(np.asarray(jax.jit(compute)(x)))
            files.append({file.name for file in (tmp_path / "compiled").glob("jit_compute*-cache")})
    finally:
        for name, value in before.items():
            jax.config.update(name, value)
        compilation_cache.reset_cache()
    assert len(files[0]) == 1
    assert files[1] == files[0]
    np.testing.assert_array_equal(*results)
