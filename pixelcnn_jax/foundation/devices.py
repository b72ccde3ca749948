"""One mesh over all devices: parameters on every device, batches split among them. The successor of ``jax.pmap``.

The devices may belong to several processes, on one host or many. All processes then run the same program, and each
reads its own rows of a batch: a computation over the mesh waits until every process has called it.
"""

import contextlib
import ctypes
import hashlib
import os
import platform
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Key, UInt32

from pixelcnn_jax.foundation.errors import InputError
from pixelcnn_jax.foundation.files import cache_folder

AXIS = "pixelcnn_jax_images"  # layers react to a mesh with this axis alone, not to one of the user


def data_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Returns a mesh with one axis, ``AXIS``, over the devices given, or over all devices of all processes.

    The devices of a process are neighbours, so that its rows of a batch are consecutive.
    """
    chosen = sorted(devices or jax.devices(), key=lambda device: (device.process_index, device.id))
    return Mesh(np.array(chosen), (AXIS,), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """Returns the sharding that keeps a full copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def on_one_device(tree: Any) -> Any:
    """Returns one device's copy of replicated arrays."""
    return jax.tree.map(lambda x: x.addressable_data(0), tree)


def use_all_cores(batch_sizes: Sequence[int] = (), *, processes: int = 1) -> None:
    """Makes each CPU core a device and keeps freed memory, before the first array is made.

    Args:
      batch_sizes: sizes over all processes that the devices must be able to share; fewer cores are devices if need be.
      processes: number of processes.

    In a process that has used JAX, such as a notebook, the number of devices cannot change any more: they stay.
    """
    keep_memory()
    if "JAX_NUM_CPU_DEVICES" in os.environ:
        return
    granted = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    fitting = (n for n in range(granted, 1, -1) if not any(size % (n * processes) for size in batch_sizes))
    with contextlib.suppress(RuntimeError):
        jax.config.update("jax_num_cpu_devices", next(fitting, 1))


def keep_memory() -> None:
    """Keeps freed memory, which XLA takes anew at each step, in the process: where libc is glibc.

    For commands, not for ``fit``: the setting is the whole process's, which belongs to the host program.
    ``PIXELCNN_JAX_KEEP_MEMORY=0`` leaves malloc as it is.
    """
    if os.environ.get("PIXELCNN_JAX_KEEP_MEMORY") == "0" or platform.libc_ver()[0] != "glibc":
        return
    malloc_arena_max, mmap_threshold, trim_threshold, top_pad = -8, -3, -1, -2
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(malloc_arena_max, 1)  # the arenas of other threads, in which XLA allocates, are always trimmed
    mallopt(mmap_threshold, 2**30)
    mallopt(trim_threshold, 2**31 - 1)
    mallopt(top_pad, 2**26)


def keep_programs(folder: str | None = None) -> None:
    """Keeps compiled programs for later runs, which then start in a third of the time.

    A folder of the user's cache belongs to a version of jaxlib and to a processor, since a program may use any
    instruction of the one that compiled it. ``JAX_ENABLE_COMPILATION_CACHE=0`` keeps none.

    Args:
      folder: where to keep them; None for ``JAX_COMPILATION_CACHE_DIR``, or a folder of the user's cache if that is not
        set. A cache that cannot be written is not used.
    """
    if folder is None and jax.config.values["jax_compilation_cache_dir"] is None:
        made_for = f"{jax.lib.__version__} {platform.machine()} {platform.processor()} {_instruction_sets()}"
        try:
            place = cache_folder() / "programs" / hashlib.sha256(made_for.encode()).hexdigest()[:16]
            place.mkdir(parents=True, exist_ok=True)
        except (OSError, RuntimeError):  # RuntimeError: a user without a home
            return
        folder = str(place)
    if folder is not None:
        jax.config.update("jax_compilation_cache_dir", os.path.abspath(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


def faster_dtype() -> str:
    """Names the matmul dtype that this CPU is faster in."""
    units = {"avx512_bf16", "amx_bf16"} & {*_instruction_sets()}
    return "bfloat16" if units else "float32"


def _instruction_sets() -> list[str]:
    cpuinfo = Path("/proc/cpuinfo")  # Linux's
    about = re.search(r"^(?:flags|Features)\s*:(.*)$", cpuinfo.read_text() if cpuinfo.exists() else "", re.MULTILINE)
    return about[1].split() if about else []


def check_batch_size(mesh: Mesh, batch_size: int, *, name: str = "batch_size") -> None:
    """Raises InputError, naming the field, unless the devices can share a batch evenly."""
    if batch_size % mesh.size:
        raise InputError(f"{name} must be a multiple of the number of devices, {mesh.size}, got {batch_size}.")


def shard_batch(mesh: Mesh, batch: dict[str, np.ndarray]) -> dict[str, Any]:
    """Returns a batch, or this process's consecutive rows of one, split along its first axis over the mesh."""
    sharding = NamedSharding(mesh, PartitionSpec(AXIS))
    return {name: jax.make_array_from_process_local_data(sharding, value) for name, value in batch.items()}


def wait_for_older(results: Sequence[Any]) -> None:
    """Waits until all but the last two results are computed.

    Two computations keep a device busy. XLA on CPU queues up to 32 per device: with more, one device can start a
    computation that the other has no room for yet, and both wait forever.
    """
    if len(results) > 2:
        jax.block_until_ready(results[-3])


def shard(x: Any) -> Any:
    """Returns arrays split along their first axis over the devices of this host, or unchanged if that is uneven."""
    devices = jax.local_devices()
    if len(devices) == 1 or any(len(leaf) % len(devices) for leaf in jax.tree.leaves(x)):
        return x
    return jax.device_put(x, NamedSharding(data_mesh(devices), PartitionSpec(AXIS)))


def match_sharding(like: Array, batched: Any, whole: Any) -> tuple[Any, Any]:
    """Returns ``batched`` arrays sharded as ``like``, and ``whole`` arrays replicated over the same devices."""
    sharding = None if isinstance(like, jax.core.Tracer) else like.sharding
    if not isinstance(sharding, NamedSharding):
        return batched, whole
    return jax.device_put(batched, sharding), jax.device_put(whole, NamedSharding(sharding.mesh, PartitionSpec()))


def per_device(function: Callable[..., Array]) -> Callable[..., Array]:
    """Maps a function over the mesh of ``jax.set_mesh(data_mesh())``, each device with its own images.

    The gradients of the whole arguments are then summed over the devices once, after the function's backward pass. Left
    to itself, XLA sums them in every iteration of the function's loops. Without such a mesh, or if its devices
    cannot share the images evenly, the function stays as it is.

    Args:
      function: ``images, condition, *whole -> values``. Images, values, and all parts of the condition that have as
        many rows are split along their first axis.
    """
    mesh = jax.sharding.get_abstract_mesh()

    def mapped(images: Array, condition: Any, *whole: Any) -> Array:
        if AXIS not in mesh.auto_axes or len(images) % mesh.shape[AXIS]:
            return function(images, condition, *whole)
        rows, all_rows = PartitionSpec(AXIS), PartitionSpec()
        split = jax.tree.map(lambda x: rows if len(x) == len(images) else all_rows, condition)
        specs = (rows, split, *(all_rows for _ in whole))
        # The check would have gradients summed where an argument is read: inside the loops.
        return jax.shard_map(function, in_specs=specs, out_specs=rows, check_vma=False)(images, condition, *whole)

    return mapped


def random_words(key: Key[Array, ""], shape: tuple[int, ...]) -> UInt32[Array, "images ..."]:
    """Returns random words for images; within ``per_device`` the rows of this device among those of all."""
    if AXIS not in jax.sharding.get_abstract_mesh().manual_axes:
        return jax.random.bits(key, shape)
    local_rows, *rest = shape
    words = jax.random.bits(key, (local_rows * jax.lax.axis_size(AXIS), *rest))
    return jax.lax.dynamic_slice_in_dim(words, local_rows * jax.lax.axis_index(AXIS), local_rows)
