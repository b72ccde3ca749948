"""Several processes that train together, on one host or many: joining them, and what the first one does for all.

All processes run the same program and each reads its own rows of a batch. Only the first writes files.
"""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils

from pixelcnn_jax.foundation.errors import InputError, user_message


class Processes(NamedTuple):
    """The processes that train together.

    Attributes:
      coordinator: "host:port" of process 0, where all can reach it.
      number: number of processes.
      this: which of them this is, from 0.
    """

    coordinator: str
    number: int
    this: int


def join(processes: Processes) -> None:
    """Joins the devices of all processes; call it before anything asks for a device.

    Raises:
      InputError: for an address or a number that cannot be.
    """
    host, _, port = processes.coordinator.rpartition(":")
    port_fits = port.isdecimal() and 0 < int(port) < 2**16
    if not (host and port_fits and 0 <= processes.this < processes.number):
        raise InputError(
            f"--coordinator must be HOST:PORT and --process from 0 to {processes.number - 1}, got "
            f"{processes.coordinator} and {processes.this}."
        )
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(
        processes.coordinator,
        processes.number,
        processes.this,
        initialization_timeout=60,
        heartbeat_timeout_seconds=20,  # after which the others end, should one be lost
    )


def is_first() -> bool:
    """Whether this is the process that writes files; true where there is only one."""
    return jax.process_index() == 0


def own_rows() -> dict[str, int]:
    """Returns which rows of a batch this process reads, as the functions of ``data.batches`` take it."""
    return {"process_index": jax.process_index(), "process_count": jax.process_count()}


def run_on_first_process(work: Callable[[], Any]) -> Any:
    """Does some work in the first process only; its result, or its error, is every process's.

    Args:
      work: returns what JSON can hold.

    Raises:
      InputError: if the work raised one, or an OSError.
    """
    if jax.process_count() == 1:
        return work()
    outcome: dict[str, Any] = {}
    if is_first():
        try:
            outcome = {"result": work()}
        except (InputError, OSError) as error:
            outcome = {"error": user_message(error) or str(error)}
    mine = np.frombuffer(json.dumps(outcome).encode(), np.uint8).astype(np.int32)
    length = int(multihost_utils.broadcast_one_to_all(np.int32(len(mine))))
    received = multihost_utils.broadcast_one_to_all(mine if is_first() else np.zeros(length, np.int32))
    outcome = json.loads(np.asarray(received).astype(np.uint8).tobytes())
    if "error" in outcome:
        raise InputError(outcome["error"])
    return outcome["result"]
