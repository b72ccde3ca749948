"""The training command, in this process: tests/test_reliability.py starts it in others."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
from unittest.mock import Mock

import jax
import pytest
from tiny_runs import ROOT, command, tiny_config

from experiments import default_config, train
from pixelcnn_jax.foundation import devices
from pixelcnn_jax.training.processes import Processes

# absl reads a config file with a loader that Python 3.12 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
CONFIG = "--config=tests/tiny_runs.py"


@pytest.fixture(autouse=True)
def _as_in_a_new_process(monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.delitem(sys.modules, "config_config", raising=False)  # absl would execute the next file into it


def arguments(workdir, *more, **changes):
    return command(workdir, *more, **changes)[3:]


def complaint(capsys, line):
    """What the command prints before it ends with exit status 1."""
    with pytest.raises(SystemExit) as ended:
        train.main(["train", *line])
    assert capsys.readouterr().out == ""
    assert isinstance(ended.value.code, str)
    assert ended.value.code.startswith("error: ")
    assert len(ended.value.code.splitlines()) == 1
    assert "Traceback" not in ended.value.code
    return ended.value.code


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ([], "--config"),
        ([CONFIG], "--workdir"),
        ([CONFIG, "--workdir=DIR", "--dry_run"], "--dry_run"),
        (["--config=configs/nowhere.py", "--dry_run"], "There is no config file configs/nowhere.py"),
        (["--config=configs/cifar.py", "--dry_run", "--config.seed=1"], "did you mean configs/cifar10"),
        (["--config=configs/cifar10.py:class_conditional", "--dry_run"], "a step from 1 to 8"),
        (["--config=configs/mnist.py:3", "--dry_run"], "a step from 1 to 2"),
        (["--config=configs/binarized_mnist.py:0", "--dry_run"], "a step from 1 to 3"),
        (["--config=configs/digits.py:nothing", "--dry_run"], "choose one of unconditional, "),
        (["--config=configs/mnist_classes.py:clas_conditional", "--dry_run"], "class_conditional"),
        (["--config=configs/digits_ablations.py:x", "--dry_run"], "This config takes no argument, one was given"),
        (["--config=tests", "--dry_run"], "tests"),
        (["--config=experiments/__init__.py", "--dry_run"], "get_config"),
        ([CONFIG, "--workdri=DIR"], "workdri"),
        ([CONFIG, "--dry_run", "steps=3"], "steps=3"),
        ([CONFIG, "--dry_run", "--config.train.stpes=1"], 'Did you mean "steps"'),
        ([CONFIG, "--dry_run", "--config.steps=1"], "There is no field 'steps'"),
        ([CONFIG[:8], CONFIG[9:], "--dry_run", "--config.model.steps=1"], "There is no field 'steps'"),
        ([CONFIG, "--dry_run", "--config.train.steps=many"], "many"),
        ([CONFIG, "--dry_run", "--config.train.steps=0"], "config.train.steps"),
        ([CONFIG, "--dry_run", "--config.model.kernel_size=4"], "kernel_size"),
        ([CONFIG, "--dry_run", "--config.experiment=unconditonal"], "unconditional"),
        ([CONFIG, "--workdir=DIR", "--config.data.dataset=mnsit"], "mnist"),
        ([CONFIG, "--workdir=DIR", "--config.data.dataset=mnist", "--config.data.data_dir=nowhere"], "mnist"),
        ([CONFIG, "--workdir=DIR", "--config.data.train_split=train[:x]"], "train[:x]"),
        ([CONFIG, "--workdir=DIR", "--processes=2"], "--coordinator"),
        ([CONFIG, "--workdir=DIR", "--processes=0"], "processes"),
        ([CONFIG, "--workdir=DIR", "--processes=2", "--process=0", "--coordinator=localhost"], "--coordinator"),
        ([CONFIG, "--workdir=README.md"], "README.md"),
        ([CONFIG, "--workdir=gs://bucket/run"], "mount the bucket"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_sentence_that_names_it(tmp_path, capsys, line, named):
    new = tmp_path / "new"
    assert named in complaint(capsys, [part.replace("DIR", str(new)) for part in line])
    assert not new.exists()


def test_a_config_file_that_fails_is_one_sentence(tmp_path, capsys):
    wrong = "from experiments import *\ndef get_config():\n    default_config('vae').train.batchsize = 3"
    for content in (wrong, "def get_config(:", "raise OSError('broken')", "def get_config():\n    return 3", "\x00"):
        (tmp_path / "config.py").write_text(content)
        complaint(capsys, [f"--config={tmp_path}/config.py", "--dry_run"])


def test_help_lists_every_field_and_every_config(capsys):
    for line in (["-h"], [CONFIG, "--workdir=x", "--help"]):
        train.main(["train", *line])
        text = capsys.readouterr().out
        for group, fields in default_config("unconditional").to_dict().items():
            for name in fields if isinstance(fields, dict) else ():
                assert f"--config.{group}.{name}=" in text
        for file in (ROOT / "configs").glob("[a-z]*.py"):
            assert file.stem in text
        assert "--workdir" in text
    assert "--config.train.steps=12 " in text


def test_fields_on_the_command_line_change_the_config():
    line = [CONFIG, "--workdir=~/x", "--config.train.steps=7", "--config.train.microbatch_size=8", "--config.seed=3"]
    actual = train.parse(["train", *line, "--config.unconditional.augment=0.5"])
    assert actual.config.to_dict() == (
        tiny_config(train__steps=7, train__microbatch_size=8, seed=3, unconditional__augment=0.5).to_dict()
    )
    assert str(actual.workdir) == os.path.expanduser("~/x")
    assert actual.processes is None
    several = train.parse(["train", CONFIG, "--workdir=x", "--coordinator=a:1", "--processes=3", "--process=2"])
    assert several.processes == Processes("a:1", 3, 2)
    assert train.parse(["train", CONFIG, "--workdir=x", "--processes=1"]).processes == Processes(None, 1, None)
    assert train.parse(["train", *line, "--config.train.microbatch_size=None"]).config.train.microbatch_size is None


def test_a_dry_run_prints_what_a_step_needs_and_writes_nothing(capsys):
    train.main(["train", CONFIG, "--dry_run"])
    out, err = capsys.readouterr()
    assert err.startswith("compiling")  # before the compilation, which takes a minute
    actual = json.loads(out.splitlines()[-1])
    assert actual["dataset"] == "digits"
    assert (actual["height"], actual["width"], actual["channels"], actual["levels"]) == (8, 8, 1, 17)
    assert f"{actual['parameters']:,}" in out
    names, scales = ("state_bytes", "microbatch_bytes", "step_flops", "training_minutes"), (1e-6, 1e-6, 1e-9, 1)
    for name, unit, scale in zip(names, ("MB", "MB", "GFLOP", "minutes"), scales, strict=True):
        shown = re.search(rf"{name.replace('_', ' ')} +([0-9.,]+) {unit}", out)[1]
        assert float(shown.replace(",", "")) == pytest.approx(actual[name] * scale, abs=0.06)
    assert actual["training_minutes"] > 0


def test_a_run_prints_its_table_and_its_summary(whole, capsys, monkeypatch):
    """A finished run is read and not trained again, even where JAX has been used."""
    monkeypatch.delenv("JAX_NUM_CPU_DEVICES")
    train.main(["train", *arguments(whole)])
    out = capsys.readouterr().out
    assert f"The report is {whole}/report.html" in out
    assert f" sample {whole} -o {whole}/grid.png" in out
    *table, summary = out.splitlines()
    actual = json.loads(summary)
    assert (actual["dataset"], actual["split"], actual["images"]) == ("digits", "validation", 20)
    assert actual["workdir"] == str(whole)
    assert any(line.startswith("this run") and "test" in line for line in table)


@pytest.mark.parametrize(
    ("error", "named"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space"),
        (PermissionError(errno.EACCES, "Permission denied", "DIR/lock"), "DIR/lock"),
    ],
)
def test_a_full_disk_and_a_forbidden_file_are_one_sentence(tmp_path, capsys, monkeypatch, error, named):
    monkeypatch.setattr(train, "load_splits", Mock(side_effect=error))
    assert named in complaint(capsys, arguments(tmp_path))


def test_an_error_that_is_not_the_users_has_a_traceback(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "load_splits", Mock(side_effect=OSError("of nothing that a user knows")))
    with pytest.raises(OSError, match="nothing that a user knows"):
        train.main(["train", *arguments(tmp_path)])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", ["experiments.train", "experiments.extensions.ising", "pixelcnn_jax.cli"])
def test_a_signal_while_a_command_imports_is_one_line(tmp_path, command, number):
    raises = f"import signal, gc; gc.callbacks.append(lambda *_: signal.raise_signal({int(number)})); gc.collect()"
    (tmp_path / "jax.py").write_text(raises)  # where Python ignores exceptions
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    line = [sys.executable, "-m", command, "--help"]
    done = subprocess.run(line, cwd=ROOT, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True)
    assert (done.returncode, len(done.stderr.splitlines()), done.stdout) == (128 + number, 1, "")


def test_importing_the_library_changes_nothing_in_the_process(tmp_path):
    """In a thread too, and in a user's module of the name of ours."""
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments/__init__.py").touch()
    (tmp_path / "experiments/mine.py").write_text(
        "import os, signal, threading, jax\n"
        "def state(): return dict(os.environ), signal.getsignal(2), signal.getsignal(15), jax.config.values\n"
        "before = state()\n"
        "thread = threading.Thread(target=exec, args=['from pixelcnn_jax import *; fit'])\n"
        "thread.start(), thread.join()\n"
        "try: signal.raise_signal(signal.SIGINT)\n"
        "except KeyboardInterrupt: print(state() == before)"
    )
    line = [sys.executable, "-m", "experiments.mine"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("True\n", "")


@pytest.mark.parametrize(
    ("cores", "processes", "parts", "expected"),
    [(4, 1, 64, 4), (6, 1, 64, 4), (4, 1, 2, 2), (4, 2, 4, 2), (4, 1, 7, 1)],
)
def test_every_core_is_a_device_as_far_as_they_share_the_batch(monkeypatch, cores, processes, parts, expected):
    actual = {}
    monkeypatch.delenv("JAX_NUM_CPU_DEVICES")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cores)), raising=False)
    monkeypatch.setattr(jax.config, "update", actual.__setitem__)
    devices.use_all_cores(parts, processes=processes)
    assert actual == {"jax_num_cpu_devices": expected}


def test_published_figures_are_not_compared_with_other_data():
    named, other = "--config=configs/digits.py", "--config.data.test_split=test[:9]"
    assert len(train.parse(["train", named, "--dry_run"]).config.train.published) == 1
    assert len(train.parse(["train", named, "--dry_run", "--config.data.flip"]).config.train.published) == 1
    assert train.parse(["train", named, "--dry_run", other]).config.train.published == ()


@pytest.mark.parametrize(
    ("instructions", "dtype", "named"),
    [("avx2", "bfloat16", "float32"), ("avx512_bf16", "float32", "bfloat16"), ("avx2", "float32", None)],
)
def test_the_dtype_that_a_processor_is_slow_in_is_named(instructions, dtype, named, monkeypatch):
    monkeypatch.setattr(train.devices, "_instruction_sets", instructions.split)
    hint = train.dtype_hint(tiny_config(model__dtype=dtype))
    assert hint is named or f"config.model.dtype={named} " in hint
