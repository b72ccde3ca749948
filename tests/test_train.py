"""The loop: exact scores, resuming to the bit, refusals; and the command line around it, as a user runs it."""

import errno
import fcntl
import importlib
import json
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
import types
from contextlib import closing
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from orbax.checkpoint import v1 as ocp

from configs import base
from experiments import cli, trained
from experiments.unconditional import make_experiment
from pixelcnn_jax import GatedPixelCNN, InputError, log_prob
from pixelcnn_jax import devices as parallel
from pixelcnn_jax.data.baselines import independent_nats, independent_pixels, uniform_nats
from pixelcnn_jax.data.dataset import from_array, load, no_images
from pixelcnn_jax.training.checkpoint import Best, Checkpoints
from pixelcnn_jax.training.loop import (
    Experiment,
    Splits,
    claim,
    evaluate,
    evaluator,
    init_state,
    locked,
    make_optimizer,
    score,
    train,
    train_step,
)
from pixelcnn_jax.training.metrics import Metrics, save_curve

ROOT = Path(__file__).parent.parent
TINY = {
    "steps": 24,
    "log_every": 3,
    "eval_every": 8,
    "checkpoint_every": 4,
    "sample_rows": 1,
    "sample_columns": 2,
    "levels": 17,
    "augment": 0.5,
    "ema": 0.9,
    "learning_rate": 1e-2,
    "warmup_steps": 4,
    "model.features": 8,
    "model.layers": 2,
    "model.dropout": 0.1,
}


def tiny_config(**changes):
    config = base.get_config()
    config.update_from_flattened_dict(TINY | changes)
    return config


def run(workdir, **changes):
    config = tiny_config(**changes)
    splits = cli.load_splits(config)
    return train(config, make_experiment(config, splits), splits, workdir)


def command(workdir, **changes):
    fields = [f"--config.{name}={value}" for name, value in (TINY | changes).items()]
    return [
        *(sys.executable, "-m", "experiments.unconditional", "--config=configs/digits.py", f"--workdir={workdir}"),
        *fields,
    ]


def finished(line, timeout=None):
    """What a command prints; what it complains of, should it fail."""
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stderr
    return done.stdout


def leaves(workdir):
    """Everything in the last checkpoint of a run, by path."""
    config = tiny_config()
    splits = cli.load_splits(config)
    state = init_state(make_experiment(config, splits), make_optimizer(config), jax.random.key(0))
    with closing(Checkpoints(Path(workdir))) as checkpoints:
        restored = checkpoints.restore(state)
    return {jax.tree_util.keystr(path): x for path, x in jax.tree_util.tree_leaves_with_path(restored)}


def test_scores_are_those_of_all_images_and_of_the_best_parameters(tmp_path):
    result = run(tmp_path)
    model, params, *_ = trained.load(tmp_path)
    for name, count in (("train", 1000), ("validation", 350), ("test", 447)):
        images = np.stack([example["image"] for example in load("digits", name, levels=17).examples])
        assert result["scores"][name]["images"] == len(images) == count
        nats = -np.mean(np.asarray(log_prob(model, params, images)), dtype=np.float64)
        np.testing.assert_allclose(result["scores"][name]["nats"], nats, rtol=1e-5)
        np.testing.assert_allclose(result["scores"][name]["bits_per_dim"], nats / 64 / np.log(2), rtol=1e-5)
    assert json.loads((tmp_path / "result.json").read_text()) == result
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    validations = {line["step"]: line["validation_bits_per_dim"] for line in lines if "validation_bits_per_dim" in line}
    assert list(validations) == [8, 16, 24]
    assert result["best_step"] == min(validations, key=validations.get)
    np.testing.assert_allclose(min(validations.values()), result["scores"]["validation"]["bits_per_dim"], rtol=1e-6)
    assert result["scores"]["validation"]["bits_per_dim"] < 3.9
    for picture in ("samples.png", "samples_0000024.png", "curve.png"):
        assert (tmp_path / picture).stat().st_size > 100
    assert any((tmp_path / "tensorboard").iterdir())


def test_the_last_batch_is_neither_dropped_nor_filled_up():
    images = from_array(np.arange(7).reshape(7, 1, 1, 1), levels=7)
    nats = evaluate(
        lambda _, batch: batch["image"][:, 0, 0, 0].astype(float), {}, images, batch_size=4, put=lambda batch: batch
    )
    np.testing.assert_array_equal(nats, np.arange(7))
    assert score(nats, images)["nats"] == 3.0
    assert score(nats, images)["bits_per_dim"] == 3.0 / np.log(2)


def test_a_killed_run_ends_with_the_bits_of_one_that_was_not(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "2")
    whole = finished(command(tmp_path / "whole"))
    assert json.loads(whole.splitlines()[-1])["images"] == 350
    process = subprocess.Popen(command(tmp_path / "killed"), cwd=ROOT, stdout=subprocess.DEVNULL)
    # Past a checkpoint and between two: the kill loses steps, which must be done again to the same end.
    wait_for(lambda: any((tmp_path / "killed/checkpoints").glob("[0-9]*")), process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed/result.json").exists()
    finished(command(tmp_path / "killed"))
    expected, found = leaves(tmp_path / "whole"), leaves(tmp_path / "killed")
    assert expected.keys() == found.keys()
    for name in expected:
        np.testing.assert_array_equal(expected[name], found[name], err_msg=name)
    results = [json.loads((tmp_path / name / "result.json").read_text()) for name in ("whole", "killed")]
    assert results[0]["scores"] == results[1]["scores"]
    curves = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("whole", "killed")]
    steps = [[json.loads(line)["step"] for line in curve] for curve in curves]
    assert steps[0] == steps[1]


def test_steps_do_not_pile_up(tmp_path, monkeypatch):
    """Two devices and hundreds of steps between two looks at the loss: XLA on CPU stops for good if all are begun."""
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "2")
    rare = dict.fromkeys(("log_every", "eval_every", "checkpoint_every", "steps"), 300)
    finished(command(tmp_path / "run", batch_size=16, **rare), timeout=100)


def wait_for(happened, process):
    deadline = time.monotonic() + 120
    while not happened():
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_workdir_of_another_config_is_refused_and_kept(tmp_path):
    run(tmp_path, steps=2)
    before = (tmp_path / "result.json").read_text()
    with pytest.raises(InputError, match=r"belongs to another config, where seed is 0 and not 1"):
        run(tmp_path, steps=2, seed=1)
    assert (tmp_path / "result.json").read_text() == before
    assert run(tmp_path, steps=2) == json.loads(before)


def test_a_workdir_from_before_a_field_was_there_goes_on_where_it_is_unset(tmp_path):
    config, images = base.get_config(), no_images((8, 8, 1), levels=17, classes=None)
    splits = Splits(images, images)
    claim(tmp_path, config, splits)
    older = json.loads((tmp_path / "config.json").read_text())
    del older["variants"], older["model"]["mixture"], older["images"]["counts"]
    (tmp_path / "config.json").write_text(json.dumps(older))
    claim(tmp_path, config, splits)
    config.model.mixture = 3
    with pytest.raises(InputError, match="belongs to another config, where model is"):
        claim(tmp_path, config, splits)


def test_two_processes_do_not_share_a_workdir(tmp_path):
    run(tmp_path, steps=2)
    (tmp_path / "result.json").unlink()  # of a finished run the result is read, whoever holds the lock
    with locked(tmp_path), pytest.raises(InputError, match="Another process is training in"):
        run(tmp_path, steps=2)


def test_a_file_system_without_locks_is_no_hindrance(tmp_path, monkeypatch):
    def none(file, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    with locked(tmp_path):
        pass


def test_a_folder_of_something_else_is_refused_and_kept(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("mine")
    with pytest.raises(InputError, match=r"holds files, but no config.json"):
        run(tmp_path, steps=2)
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]
    assert (tmp_path / "metrics.jsonl").read_text() == "mine"


def test_best_parameters_of_steps_that_were_lost_are_forgotten(tmp_path):
    params = {"kernel": np.ones((2, 3), np.float32)}
    with closing(Checkpoints(tmp_path)) as checkpoints:
        checkpoints.save_best(Best(20, 1.5), params)
        checkpoints.forget_after(20)
        assert checkpoints.best() == Best(20, 1.5)
        checkpoints.forget_after(10)
        assert checkpoints.best() is None
        checkpoints.save_best(Best(15, 1.7), params)
        assert checkpoints.best() == Best(15, 1.7)
    # A process that is killed while it deletes the best so far, after it has kept a better one:
    with closing(Checkpoints(tmp_path)) as checkpoints:
        checkpoints.save_best(Best(20, 1.5), params)
    shutil.copytree(tmp_path / "best/20", tmp_path / "best/15")
    for file in (tmp_path / "best/15").rglob("*"):
        if file.is_file():
            file.unlink()
    with closing(Checkpoints(tmp_path)) as checkpoints:
        checkpoints.forget_after(15)
        assert checkpoints.best() is None


def test_a_damaged_checkpoint_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_NUM_CPU_DEVICES", "1")
    workdir = tmp_path / "run"
    finished(command(workdir, steps=4))
    (workdir / "result.json").unlink()
    for file in (workdir / "checkpoints/4").rglob("*"):
        if file.is_file() and file.parent.name == "d":
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    done = subprocess.run(command(workdir, steps=4), cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "checkpoints/4 is damaged" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (workdir / "result.json").exists()


@pytest.mark.parametrize("kept", ["best", "checkpoints"])
def test_a_checkpoint_with_other_values_is_refused(tmp_path, kept):
    """A value is another, and all that orbax looks at is as it was."""
    params = {"kernel": jnp.arange(600, dtype=jnp.float32).reshape(20, 30)}
    with closing(Checkpoints(tmp_path)) as checkpoints:
        checkpoints.save_best(Best(4, 1.5), params)
        checkpoints.save(4, params)
    with closing(Checkpoints(tmp_path)) as checkpoints:
        for read in (checkpoints.restore_best, checkpoints.restore):
            np.testing.assert_array_equal(read(params)["kernel"], params["kernel"])
    plain = tmp_path / "plain"
    with closing(Checkpoints(plain)) as checkpoints:
        checkpoints.save_best(Best(4, 1.5), {"kernel": params["kernel"].at[3, 4].add(1)})
        checkpoints.save(4, {"kernel": params["kernel"].at[3, 4].add(1)})
    state = "4/state" if (plain / kept / "4/state").is_dir() else "4/pytree"
    shutil.rmtree(tmp_path / kept / state)
    shutil.copytree(plain / kept / state, tmp_path / kept / state)
    with closing(Checkpoints(tmp_path)) as checkpoints:
        read = checkpoints.restore_best if kept == "best" else checkpoints.restore
        with pytest.raises(InputError, match=f"{kept}/4 is damaged"):
            read(params)


def test_what_a_killed_process_did_not_come_to_is_made_up_for(tmp_path):
    first = run(tmp_path, steps=8)
    (tmp_path / "result.json").unlink()
    (tmp_path / "curve.png").unlink()
    shutil.rmtree(tmp_path / "tensorboard")
    shutil.rmtree(tmp_path / "best")
    log = tmp_path / "metrics.jsonl"
    records = log.read_text()
    log.write_bytes(b"\xff{\n" + b'{"loss": 1}\n[2]\n' + records.encode() + b'{"step": 9, "va')
    again = run(tmp_path, steps=8)
    assert again["scores"] == first["scores"]
    assert again["best_step"] == 8
    assert (tmp_path / "curve.png").read_bytes()[1:4] == b"PNG"
    assert any((tmp_path / "tensorboard").iterdir())
    assert log.read_text() == records


def test_a_damaged_result_is_told(tmp_path):
    run(tmp_path, steps=2)
    file = tmp_path / "result.json"
    for damaged in (file.read_text()[:100], "[]", "{}"):
        file.write_text(damaged)
        with pytest.raises(InputError, match=r"result\.json is damaged: remove it"):
            run(tmp_path, steps=2)


def test_data_that_has_changed_is_noticed(tmp_path):
    run(tmp_path, steps=2)
    (tmp_path / "result.json").unlink()
    config = tiny_config(steps=2)
    splits = cli.load_splits(config)
    fewer = splits._replace(validation=splits.validation.some(9))
    with pytest.raises(InputError, match=r"belongs to another config, where images is .*'validation': 350"):
        train(config, make_experiment(config, fewer), fewer, tmp_path)


def test_divergence_stops_the_run_before_it_is_kept(tmp_path):
    with pytest.raises(InputError, match="no longer finite at step"):
        run(tmp_path, learning_rate=1e30, warmup_steps=0, clip_norm=1e30)
    assert not any((tmp_path / "checkpoints").glob("[0-9]*"))


def test_held_out_images_that_are_not_finite_stop_the_run(tmp_path):
    config = tiny_config()
    splits = cli.load_splits(config)
    held_out = make_experiment(config, splits)

    def loss(params, batch, key):
        nats = held_out.loss(params, batch, key)
        return jnp.full_like(nats, jnp.nan) if key is None else nats

    with pytest.raises(InputError, match="no longer finite at step 8"):
        train(config, held_out._replace(loss=loss), splits, tmp_path)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (dict(batch_size=12), "batch_size, 12 images, cannot be split evenly over 8 devices"),
        (dict(at_once=4), "at_once, 4 images, cannot be split evenly over 8 devices: make it a multiple"),
        (dict(eval_batch_size=0), "eval_batch_size must be at least 1"),
        (dict(ema=1.0), "ema must be"),
        (dict(schedule="linear"), "schedule must be one of constant, cosine"),
        (dict(seed=-1), "seed must be at least 0"),
        (dict(seed=2**32), "seed must be below"),
        (dict(bottleneck=0), "bottleneck must be at least 1"),
        (dict(eval_batch_size=36), "eval_batch_size, 36 images, cannot be split evenly over 8 devices"),
        (dict(encoder_features=()), "encoder_features must be"),
        (dict(encoder_features=("32x64",)), "encoder_features must be whole numbers"),
        (dict(sample_rows=0), "sample_rows must be at least 1"),
        ({"model.dtype": "float99"}, "dtype must be one of"),
        (dict(levels=16), "holds the value 16"),
        (dict(learning_rate=float("nan")), "learning_rate must be a finite number, not nan"),
        ({"model.dropout": float("nan")}, "dropout"),
        (dict(per_class=2), "per_class=2 needs class labels"),
        (dict(published=(3,)), "published must be rows of model"),
        ({"model.kernel_size": 2}, "kernel_size must be odd"),
    ],
)
def test_a_config_that_cannot_work_is_refused_and_leaves_nothing(tmp_path, changes, told):
    with pytest.raises(InputError, match=told):
        run(tmp_path / "new", **changes)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--config.nosuch=1"], "nosuch"),
        (["--config.steps=many"], "many"),
        (["--config.dataset=mnist", "--config.data_dir=nowhere"], "not prepared"),
        (["--config.dataset=mnsit"], "did you mean mnist"),
        (["--config.bits=2"], "bits"),
        (["steps=3"], "is no flag"),
    ],
)
def test_wrong_input_is_one_sentence_without_tensorflow(tmp_path, arguments, told):
    watched = (
        "import sys, runpy, atexit; atexit.register(lambda: print('tensorflow' in sys.modules));"
        "runpy.run_module('experiments.unconditional', run_name='__main__')"
    )
    line = [sys.executable, "-c", watched, "--config=configs/digits.py", f"--workdir={tmp_path}/new", *arguments]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == "False\n"
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 5  # seconds of the processor
    assert not (tmp_path / "new").exists()


def test_help_lists_every_field_and_config():
    line = [sys.executable, "-m", "experiments.unconditional", "--help"]
    text = finished(line)
    fields = [name.removeprefix("config.") for name in base.get_config().to_dict()]
    assert [name for name in fields if f"{name} = " not in text and name != "model"] == []
    assert "model.features = " in text
    for path in (ROOT / "configs").glob("*.py"):
        assert path.stem in ("base", "__init__") or path.stem in text


def test_every_config_builds_its_model():
    for path in (ROOT / "configs").glob("*.py"):
        if path.stem != "__init__":
            config = importlib.import_module(f"configs.{path.stem}").get_config()
            GatedPixelCNN(levels=config.levels, channels=3, **config.model)
            make_optimizer(config)


def test_the_package_is_light_to_import():
    code = (
        "import sys, jax, flax.linen, jaxtyping, numpy, safetensors.flax; before = {*sys.modules}; import pixelcnn_jax;"
        "more = {name.split('.')[0] for name in {*sys.modules} - before};"
        "print(sorted(more - sys.stdlib_module_names - {'pixelcnn_jax', 'jax', 'flax'}))"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    out = finished([sys.executable, "-c", code])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert out == "[]\n"
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 3


def test_the_floor_is_the_published_one():
    train_images, validation = (load("digits", name, levels=17) for name in ("train", "validation"))
    bits = 64 * np.log(2)
    assert round(uniform_nats(validation) / bits, 2) == 4.09
    assert round(independent_nats(independent_pixels(train_images), validation) / bits, 2) == 2.49


def test_a_few_at_a_time_make_the_step_of_the_whole_batch():
    """Gradients of parts add up to the batch's, and evaluation in parts keeps the order of the images."""
    found = {}
    for at_once in (None, 16, 8):
        config = tiny_config(at_once=at_once, **{"model.dropout": 0.0, "augment": 0.0})
        splits = cli.load_splits(config)
        experiment, optimizer = make_experiment(config, splits), make_optimizer(config)
        state = init_state(experiment, optimizer, jax.random.key(0))
        batch = {"image": np.stack([example["image"] for example in splits.train.examples[:32]]).astype(np.int32)}
        step = jax.jit(partial(train_step, experiment=experiment, optimizer=optimizer, ema=0.9, at_once=at_once))
        for _ in range(3):
            state, loss = step(state, batch, jax.random.key(1))
        scored = evaluator(partial(experiment.loss, key=None), config)
        found[at_once] = [loss, scored(state.params, splits.test), *jax.tree.leaves(state.params)]
    assert len(found[8][1]) == 447
    for at_once in (16, 8):
        for whole, parts in zip(found[None], found[at_once], strict=True):
            np.testing.assert_allclose(parts, whole, rtol=2e-3, atol=2e-3)
    order = np.argsort(found[None][1])
    assert np.corrcoef(found[8][1][order], found[None][1][order])[0, 1] > 0.999


def toy(loss):
    """An experiment with one parameter, which begins at 0."""
    return Experiment(lambda key: {"part": {"kernel": jnp.zeros(())}}, loss, lambda params, key: jnp.zeros(()))


@pytest.mark.parametrize("devices", [1, 8])
@pytest.mark.parametrize("at_once", [None, 8])
def test_steps_of_known_size(devices, at_once):
    """Each lowers the parameter by the mean of 0 .. 15; the average follows with weights 1/10, 2/11, ... at first."""
    mesh = parallel.data_mesh(jax.devices()[:devices])
    experiment = toy(lambda params, batch, key: params["part"]["kernel"] * batch["image"][:, 0, 0, 0])
    optimizer = optax.sgd(1.0)
    state = jax.device_put(init_state(experiment, optimizer, jax.random.key(0)), parallel.replicated(mesh))
    batch = parallel.shard_batch(mesh, {"image": np.arange(16, dtype=np.float32).reshape(16, 1, 1, 1)})
    step = jax.jit(partial(train_step, experiment=experiment, optimizer=optimizer, ema=0.15, at_once=at_once))
    found = []
    for _ in range(3):
        state, loss = step(state, batch, jax.random.key(1))
        found.append([float(x) for x in (loss, state.params["part"]["kernel"], state.ema["part"]["kernel"])])
    first = -7.5 * 0.9  # 1/10 is remembered, later 0.15 at most: 2/11 would be more
    second = 0.15 * first + 0.85 * -15
    expected = [[0, -7.5, first], [-56.25, -15, second], [-112.5, -22.5, 0.15 * second + 0.85 * -22.5]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_every_part_of_a_batch_has_noise_of_its_own():
    experiment = toy(
        lambda params, batch, key: params["part"]["kernel"] * jax.random.normal(key, (len(batch["image"]),))
    )
    optimizer = optax.sgd(1.0)
    state, key = init_state(experiment, optimizer, jax.random.key(0)), jax.random.key(1)
    batch = {"image": jnp.zeros((16, 1, 1, 1), jnp.int32)}
    after, _ = train_step(state, batch, key, experiment=experiment, optimizer=optimizer, ema=0.9, at_once=8)
    parts = [jax.random.normal(jax.random.fold_in(jax.random.fold_in(key, 0), i), (8,)) for i in range(2)]
    np.testing.assert_allclose(after.params["part"]["kernel"], -jnp.mean(jnp.stack(parts)), rtol=1e-5)


def test_kernels_decay_and_nothing_else():
    optimizer = make_optimizer(
        tiny_config(weight_decay=0.1, warmup_steps=0, schedule="cosine", steps=10, learning_rate=0.5)
    )
    params = {name: {"kernel": jnp.ones(2), "bias": jnp.ones(2)} for name in ("params", "frozen")}
    state, updates = optimizer.init(params), []
    for _ in range(11):
        found, state = optimizer.update(jax.tree.map(jnp.zeros_like, params), state, params)
        updates.append(found)
    np.testing.assert_allclose(updates[0]["params"]["kernel"], -0.5 * 0.1, rtol=1e-6)
    np.testing.assert_allclose(updates[10]["params"]["kernel"], 0, atol=1e-9)  # cosine, to zero
    for still in (updates[0]["params"]["bias"], *updates[0]["frozen"].values()):
        np.testing.assert_array_equal(still, 0)


@pytest.mark.parametrize(("at_once", "told"), [(5, "no multiple of at_once"), (0, "at_once must be"), (4, "8 devices")])
def test_parts_that_cannot_be_had(tmp_path, at_once, told):
    with pytest.raises(InputError, match=told):
        run(tmp_path / "new", at_once=at_once)
    assert not (tmp_path / "new").exists()


def test_the_curve_is_drawn_when_the_imports_beside_the_training_are_over(tmp_path, monkeypatch):
    importlib.import_module("matplotlib.figure")
    begun = threading.Event()

    def importing(self, step, scalars):
        monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))  # half imported: without a version
        begun.set()
        time.sleep(1)
        monkeypatch.delitem(sys.modules, "IPython")

    monkeypatch.setattr(Metrics, "_write_tensorboard", importing)
    with closing(Metrics(tmp_path, resumed_step=0)) as metrics:
        metrics.write(1, train_loss=2.0)
        begun.wait()
        metrics.draw(tmp_path / "curve.png", measure="loss", title="")
    assert (tmp_path / "curve.png").read_bytes()[1:4] == b"PNG"


def test_a_title_is_not_read_as_mathematics(tmp_path):
    save_curve(tmp_path / "curve.png", [{"step": 1, "train_loss": 2.0}], "loss", "pay$x_$now")
    assert (tmp_path / "curve.png").read_bytes()[1:4] == b"PNG"


def test_a_full_disk_is_one_sentence(capsys):
    def full():
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(SystemExit, match="error: A file could not be written: No space left on device"):
        cli.report(full)


def test_checkpoints_that_cannot_be_written_are_one_sentence(tmp_path, monkeypatch):
    """As on a full disk, of which orbax and tensorstore tell by errors of their own, from wherever they wait for it."""

    def full(*arguments, **named):
        raise ValueError('RESOURCE_EXHAUSTED: Failed writing: "state"\nat length')

    checkpoints, state = Checkpoints(tmp_path), {"weights": jnp.arange(3.0)}
    writers = {
        "save": lambda: checkpoints.save_best(Best(1, 2.0), state),
        "save_async": lambda: checkpoints.save(1, state),
        "close": checkpoints.close,
    }
    for name, write in writers.items():
        with monkeypatch.context() as patch:
            patch.setattr(ocp.training.Checkpointer, name, full)
            with pytest.raises(InputError, match=r'cannot be written: RESOURCE_EXHAUSTED: Failed writing: "state"$'):
                write()
    checkpoints.close()


def test_what_the_first_process_cannot_write_every_process_is_told(monkeypatch):
    told = []
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(
        parallel.multihost_utils, "broadcast_one_to_all", lambda value: told.append(value) or np.asarray(value)
    )

    def work():
        raise OSError(errno.EACCES, "Permission denied", "DIR/lock")

    with pytest.raises(InputError, match=r"DIR/lock cannot be used: Permission denied\."):
        parallel.by_first(work)
    assert len(told) == 2


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_a_schedule_without_warm_up_begins_with_the_learning_rate(schedule):
    optimizer = make_optimizer(tiny_config(schedule=schedule, warmup_steps=0, learning_rate=0.25, clip_norm=1e9))
    params = {"kernel": jnp.zeros(3)}
    updates, _ = optimizer.update({"kernel": jnp.ones(3)}, optimizer.init(params), params)
    np.testing.assert_allclose(updates["kernel"], -0.25, rtol=1e-4)  # Adam's first step


def test_a_finished_run_is_read_where_nothing_can_be_written(tmp_path):
    result = run(tmp_path)
    (tmp_path / "lock").unlink()
    (tmp_path / "lock").mkdir()  # so that it cannot be opened
    assert run(tmp_path) == result
    (tmp_path / "result.json").unlink()
    with pytest.raises(IsADirectoryError):
        run(tmp_path)


def test_what_goes_wrong_beside_the_training_is_not_lost(tmp_path, monkeypatch):
    def full(self, step, scalars):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Metrics, "_write_tensorboard", full)
    metrics = Metrics(tmp_path, resumed_step=0)
    metrics.write(1, train_loss=2.0)
    with pytest.raises(OSError, match="No space"):
        metrics.close()
