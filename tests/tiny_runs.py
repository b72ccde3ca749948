"""A run of seconds: its config, which is a config file too, and how tests start it, in this process or a second one."""

import contextlib
import itertools
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from experiments import default_config, recipe_of
from pixelcnn_jax.data.loading import load_splits
from pixelcnn_jax.training.checkpoint import Checkpoints
from pixelcnn_jax.training.config import parse_config, run_keys
from pixelcnn_jax.training.metrics import read_records
from pixelcnn_jax.training.optimizer import make_optimizer
from pixelcnn_jax.training.run import train
from pixelcnn_jax.training.step import init_state

ROOT = Path(__file__).parents[1]
TINY = {
    "data.dataset": "digits",
    "data.levels": 17,
    "data.train_split": "train[:64]",
    "data.validation_split": "validation[:20]",
    "data.test_split": "test[:20]",
    "model.features": 8,
    "model.layers": 1,
    "model.dropout": 0.1,
    "optimizer.learning_rate": 1e-2,
    "optimizer.warmup_steps": 4,
    "train.steps": 12,
    "train.batch_size": 16,
    "train.eval_batch_size": 16,
    "train.ema_decay": 0.9,
    "train.log_every": 3,
    "train.eval_every": 4,
    "train.checkpoint_every": 2,
    "train.sample_rows": 1,
    "train.sample_columns": 2,
}


def get_config(experiment="unconditional"):
    return tiny_config(experiment)


def tiny_config(experiment="unconditional", **changes):
    """The config; a change is written train__steps=3."""
    config = default_config(experiment)
    config.update_from_flattened_dict(TINY | {name.replace("__", "."): value for name, value in changes.items()})
    return config


def tiny(experiment="unconditional", **changes):
    """The typed config, the recipe and the splits."""
    recipe = recipe_of(experiment)
    config = parse_config(tiny_config(experiment, **changes), recipe.Config)
    return config, recipe, load_splits(config.data)


def tiny_experiment(name="unconditional", **changes):
    """The config, the experiment and its optimizer."""
    config, recipe, splits = tiny(name, **changes)
    experiment = recipe.make_experiment(config, splits.spec, {})
    return config, experiment, make_optimizer(config.optimizer, experiment.networks, steps=config.train.steps)


def without_tensorflow(line):
    """The command where TensorFlow, whose import takes longer than a tiny run, is not installed."""
    code = "sys.modules['tensorflow'] = None; runpy.run_module('experiments.train', run_name='__main__')"
    return [line[0], "-c", f"import sys, runpy; {code}", *line[3:]]


def run(workdir, *, recipe=None, splits=None, **changes):
    """Trains in this process."""
    config, ordinary, loaded = tiny(**changes)
    return train(config, recipe or ordinary, splits or loaded, workdir)


def with_experiment(change):
    """The ordinary recipe, its experiment changed by a function."""
    ordinary = tiny()[1]
    return ordinary._replace(make_experiment=lambda *inputs: change(ordinary.make_experiment(*inputs)))


def with_loss(change):
    """The ordinary recipe, its loss of each image changed by a function of that loss and the key."""

    def changed(experiment):
        return experiment._replace(loss=lambda params, batch, key: change(experiment.loss(params, batch, key), key))

    return with_experiment(changed)


@contextlib.contextmanager
def before_call(owner, name, number, act):
    """Inside, something is done before a method's call of that number."""
    calls, method = itertools.count(1), getattr(owner, name)

    def counted(*inputs, **options):
        if next(calls) == number:
            act()
        return method(*inputs, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, counted)
        yield


def truncate(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip_a_bit(file):
    content = bytearray(file.read_bytes())
    content[-10] ^= 1
    file.write_bytes(content)


def command(workdir, *more, **changes):
    fields = [f"--config.{name.replace('__', '.')}={value}" for name, value in changes.items()]
    file = Path(__file__).relative_to(ROOT)
    return [sys.executable, "-m", "experiments.train", f"--config={file}", f"--workdir={workdir}", *fields, *more]


def finished(line, *, cwd=ROOT, **options):
    """Returns the output of a command, or its error message."""
    done = subprocess.run(line, cwd=cwd, capture_output=True, text=True, timeout=600, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def wait_for(happened, process, *, seconds=120):
    """Waits until something is true of a process that must not end before."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert process.poll() is None, "the process ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.005)


def records(workdir):
    return read_records(workdir / "metrics.jsonl")


def checkpoints(workdir):
    """The steps of a run's checkpoints."""
    return Checkpoints(workdir / "checkpoints").steps()


def values(workdir, **changes):
    """Returns the best weights and the last checkpoint of a run, by name."""
    config, experiment, optimizer = tiny_experiment(**changes)
    like = jax.jit(lambda key: init_state(experiment, optimizer, key))(run_keys(config).init)
    state = Checkpoints(workdir / "checkpoints").restore(like)
    leaves = jax.tree_util.tree_leaves_with_path(state)
    return load_file(workdir / "model.safetensors") | {jax.tree_util.keystr(path): np.asarray(x) for path, x in leaves}


def assert_same_values(workdir, other, **changes):
    mine, theirs = values(workdir, **changes), values(other, **changes)
    assert mine.keys() == theirs.keys()
    assert [name for name in mine if not np.array_equal(mine[name], theirs[name])] == []


def assert_same_bits(workdir, other, **changes):
    assert_same_values(workdir, other, **changes)
    # Means of the time and the steps since the last record, or since the run was resumed.
    means = {"seconds", "images_per_second", "train_bits_per_dim", "gradient_norm"}
    mine, theirs = ([{k: x for k, x in r.items() if k not in means} for r in records(d)] for d in (workdir, other))
    assert mine == theirs
