"""Several processes: refusals, what the first one does for all, and that together they train as one."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from tiny_runs import ROOT, assert_same_bits, checkpoints, command, run, wait_for, without_tensorflow

from pixelcnn_jax import InputError
from pixelcnn_jax.foundation import errors
from pixelcnn_jax.foundation.devices import data_mesh
from pixelcnn_jax.training import processes as module
from pixelcnn_jax.training.processes import Processes, is_first, join, launched, run_on_first_process


@pytest.mark.parametrize(
    ("processes", "named"),
    [
        (Processes("localhost", 2, 0), "--coordinator"),
        (Processes("localhost:http", 2, 0), "--coordinator"),
        (Processes("localhost:65536", 2, 0), "--coordinator"),
        (Processes("localhost:1234", 2, 2), "--process "),
    ],
)
def test_an_address_or_a_number_that_cannot_be_is_refused(processes, named, monkeypatch):
    monkeypatch.setattr(jax.distributed, "initialize", lambda *inputs, **options: pytest.fail("it was not refused"))
    with pytest.raises(InputError, match=named):
        join(processes)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ("", (1, None, None)),
        ("TPU_WORKER_HOSTNAMES=localhost", (1, None, None)),
        ("TPU_WORKER_HOSTNAMES=a,b,c,d", (4, None, None)),
        ("OMPI_COMM_WORLD_SIZE=4 OMPI_COMM_WORLD_LOCAL_SIZE=2", (4, None, "mpi4py")),
        ("OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_LOCAL_SIZE=1 SLURM_NTASKS=2", (2, [], "mpi4py")),
        ("SLURM_NTASKS=1 SLURM_STEP_NUM_TASKS=1 SLURM_STEP_NUM_NODES=1", (1, [], None)),
        ("SLURM_NTASKS=2 SLURM_STEP_NUM_TASKS=2 SLURM_STEP_NUM_NODES=2", (2, [], None)),
        ("SLURM_NTASKS=4 SLURM_STEP_NUM_TASKS=4 SLURM_STEP_NUM_NODES=2", (4, None, None)),
        ("SLURM_STEP_NUM_TASKS=4 SLURM_STEP_NUM_NODES=1 SLURM_TRES_BIND=gres/gpu:per_task:2", (4, [], None)),
        ("SLURM_STEP_NUM_TASKS=4 SLURM_STEP_NUM_NODES=2 SLURM_TRES_BIND=gres/gpu:none", (4, None, None)),
        ("SLURM_NTASKS=2 SLURM_PROCID=0", "srun"),
        ("OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_LOCAL_SIZE=1 without=mpi4py", "mpi4py"),
    ],
)
def test_the_environment_of_a_launcher_names_the_processes(monkeypatch, variables, expected):
    """As SLURM 24.11 and Open MPI 5.0 set it: number, GPUs of a task, method of detection."""
    environment = dict(pair.split("=") for pair in variables.split())
    monkeypatch.setattr(os, "environ", environment)
    monkeypatch.setattr(errors, "find_spec", lambda name: None if environment.get("without") == name else name)
    if isinstance(expected, tuple):
        assert launched() == (None, expected[0], None, *expected[1:])
    else:
        with pytest.raises(InputError, match=expected):
            launched()


def test_a_single_process_is_the_first_and_does_the_work_itself():
    assert is_first()
    assert run_on_first_process(lambda: "done") == "done"
    with pytest.raises(FileNotFoundError):
        run_on_first_process(Path("/nowhere/file").read_text)


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize(
    ("error", "text"),
    [
        (None, "späte"),
        (InputError("a mistake"), "a mistake"),
        (OSError(errno.EACCES, "Permission denied", "DIR/lock"), "DIR/lock cannot be used: Permission denied."),
    ],
)
def test_every_process_has_the_result_of_the_first_or_its_error(monkeypatch, index, error, text):
    outcome = json.dumps({"error" if error else "result": text}).encode()
    first = [np.int32(len(outcome)), np.frombuffer(outcome, np.uint8)]
    sent = []

    def broadcast(value):
        """Gives every process what the first one sends, which the second must match in shape alone."""
        sent.append(np.asarray(value))
        of_first = first[len(sent) - 1]
        assert sent[-1].shape == of_first.shape
        if index == 0:
            np.testing.assert_array_equal(sent[-1], of_first)
        return of_first.astype(np.int32)

    def work():
        if index:
            pytest.fail("the second process did the work")
        if error:
            raise error
        return text

    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(jax, "process_index", lambda: index)
    monkeypatch.setattr(module.multihost_utils, "broadcast_one_to_all", broadcast)
    if error is None:
        assert run_on_first_process(work) == text
    else:
        with pytest.raises(InputError, match=text):
            run_on_first_process(work)
    assert len(sent) == 2


def start_together(workdir, **changes):
    """Two processes with a device each."""
    with socket.socket() as opened:
        opened.bind(("localhost", 0))
        port = opened.getsockname()[1]
    # As in a shell: JAX, which this process has imported, sets how much its C++ code tells.
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    return [
        subprocess.Popen(
            without_tensorflow(
                command(workdir, f"--coordinator=localhost:{port}", "--processes=2", f"--process={i}", **changes)
            ),
            cwd=ROOT,
            env=environment | {"JAX_NUM_CPU_DEVICES": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in (0, 1)
    ]


def outcomes(running):
    """Exit status, output and complaint of each."""
    try:
        told = [process.communicate(timeout=240) for process in running]
    finally:
        for process in running:
            process.kill()
    return [(process.returncode, *texts) for process, texts in zip(running, told, strict=True)]


@pytest.fixture
def two_devices(monkeypatch):
    """Lets this process train on two devices."""
    for user in ("loop", "run", "evaluation"):
        monkeypatch.setattr(f"pixelcnn_jax.training.{user}.data_mesh", lambda: data_mesh(jax.devices()[:2]))


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="the processes talk as they do on Linux")
@pytest.mark.usefixtures("two_devices")
def test_two_processes_train_as_one_also_when_they_are_stopped(tmp_path):
    """To the bit, with as many devices in all: one process with two, or two that Ctrl-C in one of them stops."""
    more = dict(train__steps=60, train__eval_every=20, train__log_every=20, train__checkpoint_every=10)
    one = run(tmp_path / "one", **more)

    running = start_together(tmp_path / "two", **more)
    wait_for(lambda: checkpoints(tmp_path / "two"), running[0])
    running[1].send_signal(signal.SIGINT)
    stopped = outcomes(running)
    assert [status for status, *_ in stopped] == [128 + signal.SIGTERM, 128 + signal.SIGINT], stopped
    assert not any("SIGTERM caught" in told for *_, told in stopped), stopped
    assert checkpoints(tmp_path / "two")[-1] < 60
    assert not (tmp_path / "two/result.json").exists()

    last = checkpoints(tmp_path / "two")[-1]
    running = start_together(tmp_path / "two", **more)
    wait_for(lambda: checkpoints(tmp_path / "two")[-1] > last, running[0])
    running[1].kill()
    status, _, told = outcomes(running)[0]
    assert status == 1
    assert told.splitlines()[-1].startswith("error: Another process died"), told
    assert "Traceback" not in told

    finished = outcomes(start_together(tmp_path / "two", **more))
    assert [status for status, *_ in finished] == [0, 0], finished
    assert [line for line in finished[1][1].splitlines() if "Gloo" not in line] == []  # only the first one prints
    assert json.loads(finished[0][1].splitlines()[-1])["images"] == 20
    assert json.loads((tmp_path / "two/result.json").read_text())["scores"] == one["scores"]
    assert_same_bits(tmp_path / "one", tmp_path / "two", **more)


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="the processes talk as they do on Linux")
@pytest.mark.usefixtures("two_devices")
def test_two_processes_of_mpirun_train_as_one_also_when_they_are_killed(tmp_path):
    """As mpirun does within a second of SIGTERM."""
    pytest.importorskip("mpi4py", reason="mpi4py is not installed: make test-extras")
    more = dict(train__steps=60, train__eval_every=20, train__log_every=20, train__checkpoint_every=10)
    one = run(tmp_path / "one", **more)
    mpirun = [str(Path(sys.executable).with_name("mpirun")), "-n", "2", "--oversubscribe", "--bind-to", "none"]
    line = mpirun + command(tmp_path / "two", data__download=True, **more)
    root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}  # containers
    environment = os.environ | root | {"JAX_NUM_CPU_DEVICES": "1", "no_proxy": socket.gethostname()}
    for last in (False, True):
        process = subprocess.Popen(line, cwd=ROOT, env=environment)
        try:
            if not last:
                wait_for(lambda: checkpoints(tmp_path / "two"), process, seconds=900)
                process.terminate()
            assert (process.wait(timeout=900) == 0) == last
        finally:
            process.terminate()
        assert (tmp_path / "two/result.json").exists() == last
    assert json.loads((tmp_path / "two/result.json").read_text())["scores"] == one["scores"]
    assert_same_bits(tmp_path / "one", tmp_path / "two", **more)
