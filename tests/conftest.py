"""Settings of every test: virtual devices, strictness, no screen, no network, no data set of the user's.

Most of it is set through the environment before anything imports jax, matplotlib or tensorflow_datasets: they read it
once, and the processes that a test starts (a command line, a notebook's kernel) then run under the same rules.

The jaxtyping plugin, switched on in pyproject.toml, checks the shapes in the package's signatures as the package is
imported, so nothing may import `pixelcnn_jax` before it: this file does not.

With pytest-xdist every worker runs this file again. Each has its own folder for TFDS; all share one folder of compiled
programs, which the controller makes and removes. A folder that JAX_COMPILATION_CACHE_DIR names is kept.
"""

import fcntl
import gc
import ipaddress
import math
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from unittest.mock import patch

import pytest

DATA_DIR = tempfile.mkdtemp(prefix="pixelcnn-jax-tests-data-")
OWN_FOLDERS = [DATA_DIR]  # removed at the end
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # neither by the controller nor by the user
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="pixelcnn-jax-tests-compiled-")
    OWN_FOLDERS.append(os.environ["JAX_COMPILATION_CACHE_DIR"])
DEAD_END = ("127.0.0.1", 9)  # the port "discard": nothing listens there

os.environ |= {
    "JAX_NUM_CPU_DEVICES": "8",  # sharding is tested with no accelerator
    "JAX_NUMPY_RANK_PROMOTION": "raise",  # [batch] + [batch, height] is a mistake until it says what it broadcasts
    "NETKET_ENABLE_X64": "0",  # importing NetKet would switch all tests of the process to 64 bits
    "NETKET_SHARDING": "0",  # its sampler warns when it meets the devices above
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_TRACEBACK_IN_LOCATIONS_LIMIT": "0",  # nobody reads the source lines inside of a compiled program
    "MPLBACKEND": "Agg",
    "TFDS_DATA_DIR": DATA_DIR,
    # Whatever does not use Python's sockets (TensorFlow) or runs in a subprocess fails at once as well.
    "http_proxy": "http://{}:{}".format(*DEAD_END),
    "https_proxy": "http://{}:{}".format(*DEAD_END),
    "no_proxy": "localhost,127.0.0.1",
}
# Tests compile far more than they compute: programs that XLA does not optimise compile several times faster. With
# PIXELCNN_TEST_CPU they keep XLA's own fusions, as users have them, and are compiled for a different instruction set,
# which rounds sums in a different order.
FLAGS = ["--xla_backend_optimization_level=0", "--xla_llvm_disable_expensive_passes=true"]
if "PIXELCNN_TEST_CPU" in os.environ:
    FLAGS += [f"--xla_cpu_max_isa={os.environ['PIXELCNN_TEST_CPU']}"]
else:
    FLAGS += ["--xla_cpu_use_fusion_emitters=false", "--xla_cpu_parallel_codegen_split_count=1"]
if "XLA_FLAGS" not in os.environ:  # neither by the controller nor by the user
    # XLA ends a process that sets a flag which this jaxlib does not know, and names it.
    ask = [sys.executable, "-c", "from jaxlib import xla_client; xla_client.CompileOptions()"]
    told = subprocess.run(ask, env=os.environ | {"XLA_FLAGS": " ".join(FLAGS)}, capture_output=True, text=True).stderr
    os.environ["XLA_FLAGS"] = " ".join(flag for flag in FLAGS if flag not in told)
os.environ.setdefault("JAX_PLATFORMS", "cpu")  # JAX_PLATFORMS=cuda make test: on purpose only


gc.set_threshold(50_000)  # tracing makes a great many objects: collecting after each 700 of them takes a tenth of all


def pytest_configure(config):
    # Two workers may write and read one compiled program at the same time: the reader then compiles it itself.
    config.addinivalue_line("filterwarnings", "ignore:Error (reading|writing) persistent compilation cache")


def pytest_unconfigure():
    for folder in OWN_FOLDERS:
        shutil.rmtree(folder, ignore_errors=True)


def refuse(address):
    """Fails the test, past every `except Exception` and every retry: TFDS would try again for minutes."""
    pytest.fail(f"tests have no network (tests/conftest.py), and this wants {address}")


def is_local(address):
    host = address[0] if isinstance(address, tuple) else None  # the address of a Unix socket is a path
    try:
        return host in (None, "", "localhost", socket.gethostname()) or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return False


def guard(function, address_of):
    def guarded(*args, **kwargs):
        address = address_of(*args, **kwargs)
        if address == DEAD_END or not is_local(address):
            refuse(address)
        return function(*args, **kwargs)

    return guarded


socket.socket.connect = guard(socket.socket.connect, lambda self, address: address)
socket.socket.connect_ex = guard(socket.socket.connect_ex, lambda self, address: address)
socket.getaddrinfo = guard(socket.getaddrinfo, lambda host, port, *args, **kwargs: (host, port))


@pytest.fixture
def offline(monkeypatch):
    """A machine without network, as code meets it: for tests of the errors that a user then reads.

    Returns the addresses that were asked for.
    """
    asked_for = []

    def refuse_as_the_system_does(address):
        asked_for.append(address)
        raise ConnectionRefusedError(f"no network, and this wants {address}")

    monkeypatch.setitem(globals(), "refuse", refuse_as_the_system_does)
    return asked_for


@pytest.fixture
def strict_dtypes():
    """No implicit promotion of dtypes: for tests of the package's own functions.

    Not for all tests, because optax's adamw, ema and MultiSteps do not pass it. For a whole module:
    `pytestmark = pytest.mark.usefixtures("strict_dtypes")`.
    """
    import jax  # not above: the environment comes first

    with jax.numpy_dtype_promotion("strict"):
        yield


@pytest.fixture
def unchecked_shapes():
    """No run-time check of signatures, as users run the package: for tests of its errors for wrong shapes."""
    import jaxtyping

    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def pixelcnn():
    """Runs the command in this process; returns its standard output, or for a mistake its standard error."""
    from click.testing import CliRunner

    from pixelcnn_jax.cli import options
    from pixelcnn_jax.cli.command import main

    def run(*arguments, mistake=False):
        with patch.object(options, "SECONDS", math.inf):  # no bar, however slow this machine is
            result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        if mistake:
            assert result.exit_code == 1, (result.output, result.exception)
            assert isinstance(result.exception, SystemExit)
            assert result.stderr.startswith("Error: ")
            assert len(result.stderr.splitlines()) == 1
            return result.stderr
        assert result.exit_code == 0, (result.output, result.exception)
        assert result.stderr == ""
        return result.stdout

    return run


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """Returns this worker's copy of a folder which the first worker that asks for it makes for all.

    A copy, because a test may lock, rename or read a folder at the moment when another worker does.
    """
    own = tmp_path_factory.getbasetemp()
    shared = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "made_once"

    def folder(name, make):
        if not (copy := own / "copies" / name).exists():
            shared.mkdir(exist_ok=True)
            with (shared / f"{name}.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # the other workers wait
                if not (shared / name).exists():
                    make(shared / f"{name}.part")
                    (shared / f"{name}.part").rename(shared / name)
            shutil.copytree(shared / name, copy)
        return copy

    return folder


@pytest.fixture(scope="session")
def whole(made_once):
    """The workdir of a tiny run that nothing has interrupted. Nobody changes it."""
    from tiny_runs import run  # not above: it imports jax

    return made_once("whole", run)


@pytest.fixture
def copied(whole, tmp_path):
    """A copy of it without its result, to be damaged: the run goes on where its files allow."""
    workdir = tmp_path / "copied"
    shutil.copytree(whole, workdir)
    (workdir / "result.json").unlink()
    return workdir


MAX_MAPS = 20_000  # a process may hold 65,530 memory maps, and each compiled program takes some


@pytest.fixture(autouse=True, scope="module")
def few_compiled_programs(request):
    """Keeps compiled programs from module to module, until they are many; but not those of patched functions."""
    import jax  # not above: the environment comes first

    patches = any("monkeypatch" in item.fixturenames for item in request.session.items if item.path == request.path)
    if patches or memory_maps() > MAX_MAPS:
        jax.clear_caches()
    yield
    if patches:
        jax.clear_caches()


def memory_maps():
    """The number of memory maps of this process; where the system does not list them, more than are allowed."""
    try:
        with open("/proc/self/maps") as file:
            return sum(1 for _ in file)
    except OSError:
        return MAX_MAPS + 1
