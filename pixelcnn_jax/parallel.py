"""One mesh over all devices: parameters on every device, batches split among them. The successor of ``jax.pmap``."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

from pixelcnn_jax.errors import InputError


def data_mesh() -> Mesh:
    """A mesh of one axis, ``data``, over every device of every host."""
    return jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole of an array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def on_one_device(tree: Any) -> Any:
    """What is whole on every device, as it is on one: for work that is not to be done by all of them."""
    return jax.tree.map(lambda x: x.addressable_data(0), tree)


def check_batch_size(mesh: Mesh, batch_size: int) -> None:
    """Raises InputError unless every device gets as many images as any other."""
    if batch_size % mesh.size:
        raise InputError(f"A batch of {batch_size} images cannot be split evenly over {mesh.size} devices.")


def shard_batch(mesh: Mesh, batch: dict[str, np.ndarray]) -> dict[str, Any]:
    """A batch, or this host's part of one, as arrays split along their first axis over the mesh."""
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
