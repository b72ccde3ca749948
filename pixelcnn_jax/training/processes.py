"""Multi-process training.

Each process reads its own rows of a batch; only the first writes files.
"""

import json
import os
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.experimental import multihost_utils

from pixelcnn_jax.foundation.errors import InputError, require, user_message


class Processes(NamedTuple):
    """Arguments of ``jax.distributed.initialize``; None is left to its detection."""

    coordinator_address: str | None
    num_processes: int
    process_id: int | None
    local_device_ids: list[int] | None = None
    cluster_detection_method: str | None = None


def launched() -> Processes:
    """Detects Open MPI, a SLURM step or a TPU slice.

    A task uses all GPUs that it sees if it is the only one of its host or SLURM binds GPUs to tasks, else one.

    Raises:
      InputError: SLURM allotted several tasks and `srun` is missing, or Open MPI and mpi4py is.
    """
    variables = os.environ
    if "OMPI_COMM_WORLD_SIZE" in variables:
        number, local = (int(variables[f"OMPI_COMM_WORLD_{name}"]) for name in ("SIZE", "LOCAL_SIZE"))
        if number > 1:
            require("mpi4py", extra="mpi", what="mpirun")
        return Processes(None, number, None, [] if local == 1 else None, "mpi4py")
    if "SLURM_STEP_NUM_TASKS" in variables:
        number = int(variables["SLURM_STEP_NUM_TASKS"])
        private = variables["SLURM_STEP_NUM_NODES"] == str(number) or "per_task" in variables.get("SLURM_TRES_BIND", "")
        return Processes(None, number, None, [] if private else None)
    if int(variables.get("SLURM_NTASKS", 1)) > 1:
        raise InputError("SLURM allocated several tasks: prefix the command with srun, or add --processes=1.")
    return Processes(None, len(variables.get("TPU_WORKER_HOSTNAMES", "").split(",")), None)


def join(processes: Processes) -> None:
    """Initialises ``jax.distributed``, if there are several; call before any use of devices.

    Raises:
      InputError: for an invalid address or index.
    """
    address, number, this = processes[:3]
    if number == 1:
        return
    if address is not None and this is not None:
        host, _, port = address.rpartition(":")
        port_fits = port.isdecimal() and 0 < int(port) < 2**16
        if not (host and port_fits and 0 <= this < number):
            raise InputError(f"--coordinator must be HOST:PORT, --process 0 to {number - 1}, got {address} and {this}.")
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(
        **processes._asdict(),
        initialization_timeout=60,
        heartbeat_timeout_seconds=20,  # after which the others end, should one be lost
    )
    multihost_utils.broadcast_one_to_all(np.int32(0))  # Gloo must connect within 30 seconds, and may then wait


def is_first() -> bool:
    """Whether this process writes files."""
    return jax.process_index() == 0


def own_rows() -> dict[str, int]:
    """Selects this process's rows, as arguments of the functions of ``data.batches``."""
    return {"process_index": jax.process_index(), "process_count": jax.process_count()}


def run_on_first_process(work: Callable[[], Any]) -> Any:
    """Runs ``work`` on the first process and broadcasts its JSON result or error.

    Raises:
      InputError: if ``work`` raised one or, with several processes, an OSError.
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
