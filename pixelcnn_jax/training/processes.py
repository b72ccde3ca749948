"""Multi-process training.

Each process reads its own rows of a batch; only the first writes files.
"""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils

from pixelcnn_jax.foundation.errors import InputError, user_message


class Processes(NamedTuple):
    """Arguments of ``jax.distributed``.

    Attributes:
      coordinator: "host:port" of process 0.
      number: number of processes.
      this: index.
    """

    coordinator: str
    number: int
    this: int


def join(processes: Processes) -> None:
    """Initialises ``jax.distributed``; call before any use of devices.

    Raises:
      InputError: for an invalid address or index.
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
    """Whether this process writes files."""
    return jax.process_index() == 0


def own_rows() -> dict[str, int]:
    """Selects this process's rows, as arguments of ``data.batches``."""
    return {"process_index": jax.process_index(), "process_count": jax.process_count()}


def run_on_first_process(work: Callable[[], Any]) -> Any:
    """Runs ``work`` on the first process and broadcasts its JSON result or error.

    Raises:
      InputError: if ``work`` raised one, or an OSError.
    """
    if jax.process_count() == 1:
        return work()
    outcome: dict[str, Any] = {}
    if is_first():
        try:
            outcome = {"result": work()}
        except (InputError, OSError) as error:
            outcome = {"error": user_message(error) or str(error)}
    payload = np.frombuffer(json.dumps(outcome).encode(), np.uint8).astype(np.int32)
    length = int(multihost_utils.broadcast_one_to_all(np.int32(len(payload))))
    received = multihost_utils.broadcast_one_to_all(payload if is_first() else np.zeros(length, np.int32))
    outcome = json.loads(np.asarray(received).astype(np.uint8).tobytes())
    if "error" in outcome:
        raise InputError(outcome["error"])
    return outcome["result"]
