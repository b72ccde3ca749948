"""Devices: a mesh of all, on which parameters are replicated and batches sharded, the cores of a CPU, and caches.

With several processes, computations over the mesh block until all have called them.
"""

import contextlib
import ctypes
import hashlib
import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

from pixelcnn_jax.foundation.errors import InputError

AXIS = "pixelcnn_jax_images"  # layers ignore a user's mesh


def data_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Makes a mesh with one axis, ``AXIS``, sorted by process."""
    devices = sorted(devices or jax.devices(), key=lambda device: (device.process_index, device.id))
    return Mesh(np.array(devices), (AXIS,), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """Makes the replicated sharding."""
    return NamedSharding(mesh, PartitionSpec())


def on_one_device(tree: Any) -> Any:
    """Takes one device's copy of replicated arrays; NumPy's stay as they are."""
    return jax.tree.map(lambda x: x.addressable_data(0) if isinstance(x, jax.Array) else x, tree)


def use_all_cores(parts: int = 0, *, processes: int = 1) -> None:
    """Makes each CPU core a JAX device, and keeps freed memory in the process (see ``keep_memory``).

    Call before the first array: the device count is fixed once JAX is in use. Runs with different device counts differ
    by rounding, as the gradient is summed in a different order.

    Args:
      parts: Number of microbatches, or images, in a batch; the number of devices is lowered until it divides it. 0
        uses all cores.
      processes: Number of processes that share a batch.
    """
    keep_memory()
    if "JAX_NUM_CPU_DEVICES" in os.environ:
        return
    granted = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    fitting = (n for n in range(granted, 1, -1) if parts % (n * processes) == 0)
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", next(fitting, 1))


def keep_memory() -> None:
    """Keeps freed memory in the process (glibc), for faster training steps.

    For commands, not ``fit``: the setting is process-wide. ``PIXELCNN_JAX_KEEP_MEMORY=0`` disables it.
    """
    if os.environ.get("PIXELCNN_JAX_KEEP_MEMORY") == "0" or platform.libc_ver()[0] != "glibc":
        return
    malloc_arena_max, mmap_threshold, trim_threshold, top_pad = -8, -3, -1, -2
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(malloc_arena_max, 1)  # the arenas of other threads, in which XLA allocates, are always trimmed
    mallopt(mmap_threshold, 2**30)
    mallopt(trim_threshold, 2**31 - 1)
    mallopt(top_pad, 2**26)


def keep_programs() -> None:
    """Enables JAX's compilation cache below ~/.cache/pixelcnn-jax, in a folder for each jaxlib version and processor.

    ``XDG_CACHE_HOME`` replaces ~/.cache, ``JAX_COMPILATION_CACHE_DIR`` names another folder, and
    ``JAX_ENABLE_COMPILATION_CACHE=0`` disables it.
    """
    if jax.config.values["jax_compilation_cache_dir"] is not None:
        return
    made_for = f"{jax.lib.__version__} {platform.machine()} {platform.processor()} {_instruction_sets()}"
    with contextlib.suppress(OSError, RuntimeError):  # not writable; a user without a home
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pixelcnn-jax"
        place = caches / "programs" / hashlib.sha256(made_for.encode()).hexdigest()[:16]
        place.mkdir(parents=True, exist_ok=True)
        jax.config.update("jax_compilation_cache_dir", str(place))
        least = 0 if os.access(place, os.W_OK) else float("inf")  # to write to a read-only cache warns for each program
        jax.config.update("jax_persistent_cache_min_compile_time_secs", least)


def has_bfloat16_units() -> bool:
    """Whether this CPU multiplies faster in bfloat16 than in float32."""
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(_instruction_sets())


def _instruction_sets() -> list[str]:
    cpuinfo = Path("/proc/cpuinfo")  # Linux's
    about = re.search(r"^(?:flags|Features)\s*:(.*)$", cpuinfo.read_text() if cpuinfo.exists() else "", re.MULTILINE)
    return about[1].split() if about else []


def check_batch_size(mesh: Mesh, batch_size: int, microbatch_size: int | None) -> None:
    """Raises InputError unless the devices can share the microbatches of a batch."""
    if batch_size % (mesh.size * (microbatch_size or 1)):
        size = f" times microbatch_size={microbatch_size}" if microbatch_size else ""
        raise InputError(f"batch_size must be a multiple of {mesh.size} devices{size}, got {batch_size}.")


def shard_batch(mesh: Mesh, batch: dict[str, np.ndarray]) -> dict[str, Any]:
    """Shards a batch, or this process's rows of one, along its first axis."""
    sharding = NamedSharding(mesh, PartitionSpec(AXIS))
    return {name: jax.make_array_from_process_local_data(sharding, value) for name, value in batch.items()}


def wait_for_older(results: Sequence[Any]) -> Any:
    """Waits until all but the last two results are computed; returns the last of those, or None.

    XLA on CPU queues up to 32 computations per device; beyond, devices can deadlock.
    """
    return jax.block_until_ready(results[-3]) if len(results) > 2 else None


def varying_as(like: Array, tree: Any) -> Any:
    """Marks the initial state of a loop as varying over the devices of a user's ``shard_map``, as ``like`` is."""
    return jax.tree.map(lambda x: x + jnp.zeros_like(like, x.dtype, ()), tree)


def match_sharding(like: Array, batched: Any, whole: Any) -> tuple[Any, Any]:
    """Shards ``batched`` as ``like``, and replicates ``whole`` over the same devices."""
    sharding = None if isinstance(like, jax.core.Tracer) else like.sharding
    if not isinstance(sharding, NamedSharding):
        return batched, whole
    return jax.device_put(batched, sharding), jax.device_put(whole, NamedSharding(sharding.mesh, PartitionSpec()))
