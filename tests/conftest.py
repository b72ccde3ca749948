"""What holds for every test: virtual devices, strictness, no screen, no network, no data set of the user's.

Almost all of it goes through the environment, before anything imports jax, matplotlib or tensorflow_datasets: they read
it once, and the processes that a test starts (a command line, a notebook's kernel) then live under the same rules.

The jaxtyping plugin, switched on in pyproject.toml, checks the shapes in the package's signatures as the package is
imported, so nothing may import `pixelcnn_jax` before it: this file does not.
"""

import ipaddress
import os
import shutil
import socket
import tempfile

import pytest

DATA_DIR = tempfile.mkdtemp(prefix="pixelcnn-jax-tests-")
DEAD_END = ("127.0.0.1", 9)  # the port "discard": nothing listens there

os.environ |= {
    "JAX_NUM_CPU_DEVICES": "8",  # sharding is tested with no accelerator
    "JAX_NUMPY_RANK_PROMOTION": "raise",  # [batch] + [batch, height] is a mistake until it says what it broadcasts
    "MPLBACKEND": "Agg",
    "TFDS_DATA_DIR": DATA_DIR,
    # Whatever does not use Python's sockets (TensorFlow) or runs in another process fails at once as well.
    "http_proxy": "http://{}:{}".format(*DEAD_END),
    "https_proxy": "http://{}:{}".format(*DEAD_END),
    "no_proxy": "localhost,127.0.0.1",
}
# Tests compile far more than they compute: code that XLA does not optimise takes half the time in all.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")
os.environ.setdefault("JAX_PLATFORMS", "cpu")  # JAX_PLATFORMS=cuda make test: on purpose only


def refuse(address):
    """Fail the test, past every `except Exception` and every retry: TFDS would try again for minutes."""
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


def pytest_unconfigure() -> None:
    shutil.rmtree(DATA_DIR, ignore_errors=True)


@pytest.fixture
def offline(monkeypatch):
    """A machine without network, as code meets it: for tests of what a user is then told."""

    def refuse_as_the_system_does(address):
        raise ConnectionRefusedError(f"no network, and this wants {address}")

    monkeypatch.setitem(globals(), "refuse", refuse_as_the_system_does)


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
    """No run-time check of signatures, as users run the package: for tests of what it says to wrong shapes."""
    import jaxtyping

    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
