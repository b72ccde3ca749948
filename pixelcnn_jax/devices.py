"""One mesh over all devices: parameters on every device, batches split among them. The successor of ``jax.pmap``.

The devices may be those of several processes, on one host or many. All processes then do the same, each reading its own
rows of a batch, for whatever is computed over the mesh waits until all have called it. The first alone writes.
"""

import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

from pixelcnn_jax.errors import InputError, sentence_of


class Processes(NamedTuple):
    """The processes that train together, and which of them this is.

    Attributes:
      coordinator: "host:port" of the first, where all can reach it.
      number: how many there are.
      this: which this is, 0 to number - 1; 0 is the first.
    """

    coordinator: str
    number: int
    this: int


def join(processes: Processes, *, seconds: float = 60) -> None:
    """Makes the devices of all processes one; before anything asks for a device.

    Raises InputError for numbers that cannot be, and where the others do not come within ``seconds``.
    """
    host, _, port = processes.coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise InputError(f"coordinator must be HOST:PORT, not {processes.coordinator}.")
    if not 0 <= processes.this < processes.number:
        raise InputError(f"process must be 0 to {processes.number - 1}, not {processes.this}.")
    meet(processes, host, int(port), seconds=seconds)
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(processes.coordinator, processes.number, processes.this)


def meet(processes: Processes, host: str, port: int, *, seconds: float) -> None:
    """Waits until all processes are there: JAX would abort one that waited in vain, with a stack trace of its own.

    The first listens where JAX's coordinator will; the others tell it which they are, and leave when it says so.
    """
    deadline = time.monotonic() + seconds
    here, others = f"{processes.this} of {processes.number}\n".encode(), set(range(1, processes.number))
    failed = InputError(
        f"The {processes.number} processes did not come together at {host}:{port} within {seconds:g} seconds: start "
        "all, each with its own number, and name the host and a free port of process 0."
    )
    with ExitStack() as opened:
        if processes.this:
            while True:
                try:
                    connection = opened.enter_context(socket.create_connection((host, port), seconds))
                    connection.sendall(here)
                    connection.settimeout(max(0.1, deadline - time.monotonic()))
                    if connection.recv(1):
                        return
                except OSError:  # not there yet
                    pass
                if time.monotonic() > deadline:
                    raise failed
                time.sleep(0.1)
        try:
            server = opened.enter_context(socket.create_server(("", port)))
            connections = []
            while others:
                server.settimeout(max(0.1, deadline - time.monotonic()))
                connection = opened.enter_context(server.accept()[0])
                connection.settimeout(5)
                with connection.makefile() as lines:
                    index, _, count = lines.readline().strip().partition(" of ")
                if count == str(processes.number) and index.isdecimal() and int(index) in others:
                    others.remove(int(index))
                    connections.append(connection)
            for connection in connections:
                connection.sendall(b"\n")
        except OSError as error:
            raise failed from error


def is_first() -> bool:
    """Whether this is the process that writes; so it is where there is but one."""
    return jax.process_index() == 0


def by_first(work: Callable[[], str]) -> str:
    """Has the first process alone do some work; what it returns, or what the user got wrong, is every process's."""
    if jax.process_count() == 1:
        return work()
    text, failed = "", False
    if is_first():
        try:
            text = work()
        except (InputError, OSError) as error:
            text, failed = sentence_of(error) or str(error), True
    told = np.frombuffer(text.encode(), np.uint8).astype(np.int32)
    length, failed = multihost_utils.broadcast_one_to_all(np.array([len(told), failed], np.int32))
    heard = multihost_utils.broadcast_one_to_all(told if is_first() else np.zeros(length, np.int32))
    text = np.asarray(heard).astype(np.uint8).tobytes().decode()
    if failed:
        raise InputError(text)
    return text


def data_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A mesh of one axis, ``data``, over some devices; over every device of every process if none are named.

    Those of a process lie next to one another, so that its rows of a batch do so too.
    """
    chosen = sorted(devices or jax.devices(), key=lambda device: (device.process_index, device.id))
    return Mesh(np.array(chosen), ("data",), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole of an array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def on_one_device(tree: Any) -> Any:
    """What is whole on every device, as it is on one: for work that is not to be done by all of them."""
    return jax.tree.map(lambda x: x.addressable_data(0), tree)


def check_batch_size(mesh: Mesh, batch_size: int, *, name: str = "batch_size") -> None:
    """Raises InputError, by the name of what is to be changed, unless every device gets as many images as any other."""
    if batch_size % mesh.size:
        raise InputError(
            f"{name}, {batch_size} images, cannot be split evenly over {mesh.size} devices: make it a multiple."
        )


def shard_batch(mesh: Mesh, batch: dict[str, np.ndarray]) -> dict[str, Any]:
    """A batch, or this process's consecutive rows of one, as arrays split along their first axis over the mesh."""
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    return {name: jax.make_array_from_process_local_data(sharding, value) for name, value in batch.items()}


def wait_for_older(results: Sequence[Array | np.ndarray], *, ahead: int = 2) -> None:
    """Waits until but the last ``ahead`` of some results are there, so that no more computations are under way.

    A device is kept busy by two. XLA on CPU lets 32 wait at each device: if more are handed to it, one device may begin
    what another has no place for yet, and both wait for good.
    """
    if len(results) > ahead:
        jax.block_until_ready(results[-1 - ahead])


def spread(x: Any) -> Any:
    """Arrays split along their first axis over all devices of this host; as they are where that cannot be."""
    devices = jax.local_devices()
    if len(devices) == 1 or any(len(leaf) % len(devices) for leaf in jax.tree.leaves(x)):
        return x
    mesh = jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices)
    return jax.device_put(x, NamedSharding(mesh, PartitionSpec("data")))


def beside(like: Array, batched: Any, whole: Any) -> tuple[Any, Any]:
    """Arrays of one batch with ``like`` split as it is over devices, and what is of no image whole on each of them."""
    sharding = None if isinstance(like, jax.core.Tracer) else like.sharding
    if not isinstance(sharding, NamedSharding):
        return batched, whole
    return jax.device_put(batched, sharding), jax.device_put(whole, NamedSharding(sharding.mesh, PartitionSpec()))
