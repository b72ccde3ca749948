"""Costs on a TPU: training, evaluation, sampling and lossless coding, compiled for TPUs that need not be there.

python -m benchmarks.tpu [--config=digits ...] [--topology=v5e:2x4 ...] [--program=train ...] [--quick]

The TPU compiler runs on any x86-64 Linux machine: pip install 'pixelcnn-jax[tpu]'. Nothing is executed. The programs
are those of the train loop and of sampling, with layers in bfloat16, and "encode" and "decode" of the published integer
model, in float32, for the configs that have one. All but training and evaluation are compiled for one chip.

The account of ``benchmarks/hlo.py`` gives the bytes and the arithmetic of a step on each chip. The roofline time is the
longer of both at the chip's peak bandwidth and peak arithmetic: no program can be faster. The arithmetic's share of it
bounds the share of peak. "compiler ms" adds up the cycles that the compiler expects of each operation, where it states
them: a rough estimate, in which nothing overlaps. Collectives are counted apart. Compile times are seconds of a core.
"""

import importlib
import json
import os
import time
from collections import Counter
from functools import partial
from typing import Any, NamedTuple

import click
import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from benchmarks.hlo import Account, account
from experiments.paper import unconditional
from pixelcnn_jax import InputError, sample
from pixelcnn_jax.cli.options import UserCommand
from pixelcnn_jax.codec import groups
from pixelcnn_jax.codec.batches import STRIP, Places
from pixelcnn_jax.codec.integer_stream import IntegerStream
from pixelcnn_jax.foundation.devices import AXIS, data_mesh, data_parallel, replicated
from pixelcnn_jax.models.inputs import Condition, ImageSpec, params_of
from pixelcnn_jax.pretrained import integer_model_of, load_pretrained
from pixelcnn_jax.training.config import parse_config
from pixelcnn_jax.training.optimizer import make_optimizer
from pixelcnn_jax.training.step import init_state, train_step


class Chip(NamedTuple):
    """Peak rates of a chip, a second, and its memory in bytes (Google Cloud documentation, "TPU architecture").

    Attributes:
      flops: in bfloat16.
      bandwidth: bytes to and from the main memory.
      memory: bytes.
      interconnect: bytes sent to other chips, over all links.
      clock: cycles; the peak arithmetic over the products of its matrix units in a cycle.
    """

    flops: float
    bandwidth: float
    memory: float
    interconnect: float
    clock: float


CHIPS = {
    "TPU v5 lite": Chip(197e12, 819e9, 16e9, 200e9, 1.5e9),
    "TPU v5": Chip(459e12, 2765e9, 95e9, 600e9, 1.75e9),
    "TPU v6 lite": Chip(918e12, 1640e9, 32e9, 400e9, 1.75e9),
}
# Of each config: the shape of its images, and images a chip and training step.
SHAPES = {
    "digits": (ImageSpec(8, 8, 1, 17), 64),
    "cifar10_full": (ImageSpec(32, 32, 3, 256), 32),
    "cifar10": (ImageSpec(32, 32, 3, 256), 32),
    "imagenet32": (ImageSpec(32, 32, 3, 256), 16),
    "imagenet64": (ImageSpec(64, 64, 3, 256), 16),
}
CODING = ("encode", "decode")
PROGRAMS = ("train", "evaluate", "sample", *CODING)
COLUMNS = {
    "compile_cpu_s": "compile s",
    "program_mb": "program MB",
    "memory_gb": "memory GB",
    "tflop": "TFLOP",
    "main_gb": "GB moved",
    "roofline_ms": "roofline ms",
    "bound_on_share_of_peak": "of peak",
    "compiler_ms": "compiler ms",
}


def mesh_of(topology: str) -> Mesh:
    """Returns a mesh over the chips of a topology such as "v5e:2x4"; "v5e:1" is one chip.

    Raises:
      InputError: if the TPU compiler is missing or does not know the topology.
    """
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")  # otherwise it looks for a TPU machine's metadata server
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")  # the lock guards TPUs; none is used here
    from jax.experimental import topologies

    kind, _, size = topology.partition(":")
    try:
        described = topologies.get_topology_desc(
            platform="tpu", topology_name=f"{kind}:2x2" if size == "1" else topology
        )
    except Exception as error:  # of several types, by what is missing
        raise InputError(
            f"topology {topology} has no compiler here: {str(error).splitlines()[0]} Install pixelcnn-jax[tpu]."
        ) from None
    return data_mesh(described.devices[: 1 if size == "1" else None])


def lowered(program: str, name: str, mesh: Mesh, images: int, **model: Any) -> jax.stages.Lowered:
    """Returns a program before it is compiled.

    Args:
      program: one of ``PROGRAMS``.
      name: the config.
      mesh: the chips.
      images: a chip.
      model: fields of ``config.model`` to change.
    """
    if program in CODING:
        return lowered_coder(program, name, mesh, images)
    config = importlib.import_module(f"configs.{name}").get_config()
    config.model.update({"dtype": "bfloat16", **model})
    config = parse_config(config, unconditional.Config)
    spec, _ = SHAPES[name]
    experiment = unconditional.make_experiment(config, spec)
    optimizer = make_optimizer(config.optimizer, steps=config.train.steps)
    whole, split = replicated(mesh), NamedSharding(mesh, PartitionSpec(AXIS))

    def abstract(tree: Any, sharding: NamedSharding = whole) -> Any:
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)

    key = abstract(jax.eval_shape(lambda: jax.random.key(0)))
    state = abstract(jax.eval_shape(partial(init_state, experiment, optimizer), key))
    batch = abstract({"image": jax.ShapeDtypeStruct((images * mesh.size, *spec.shape), jnp.int32)}, split)
    if program == "train":
        options = {"experiment": experiment, "optimizer": optimizer, "ema_decay": config.train.ema_decay}
        step = partial(train_step, **options)
        with data_parallel(mesh):
            return jax.jit(step, donate_argnames="state", out_shardings=whole).lower(state, batch, key)
    if program == "evaluate":
        loss = lambda params, batch: experiment.loss(params, batch, None)  # noqa: E731
        return jax.jit(loss, out_shardings=whole).lower(state.params, batch)
    shape = (images, spec.height, spec.width)
    return jax.jit(lambda params, key: sample(experiment.networks, params, key, shape=shape)).lower(state.params, key)


def lowered_coder(program: str, name: str, mesh: Mesh, images: int) -> jax.stages.Lowered:
    """Returns, for a strip of a group, the pass that finds all intervals to encode, or the loop that decodes."""
    model, variables, _ = load_pretrained(integer_model_of(name))
    (_, width, channels), lanes = SHAPES[name][0].shape, groups.lanes_of(model, images)

    def abstract(dtype: Any, *shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, dtype, sharding=replicated(mesh))

    variables = jax.tree.map(lambda x: abstract(x.dtype, *x.shape), variables)
    stream, params = IntegerStream(model), params_of(variables)
    rows = jax.tree.map(lambda x: abstract(x.dtype, *x.shape), groups.first_rows(model, params, images, width))
    places = Places(abstract(jnp.bool, 1, images), abstract(jnp.int32, 1), abstract(jnp.int32, 1))
    if program == "encode":
        pixels = abstract(jnp.int32, images, STRIP, width, channels)
        return groups._intervals.lower(stream, params, rows, pixels, Condition(), places)
    states, data = abstract(jnp.uint32, 1, lanes), abstract(jnp.uint8, 1, images * STRIP * width * channels * 3)
    return groups._decode.lower(stream, params, rows, states, data, abstract(jnp.int32, 1), Condition(), places)


def measure(lowered: jax.stages.Lowered, chip: Chip, *, images: int) -> tuple[dict[str, Any], Account]:
    """Compiles a program and returns its figures on each chip, and the account behind them."""
    began, worked = time.perf_counter(), time.process_time()
    compiled = lowered.compile()
    seconds, worked = time.perf_counter() - began, time.process_time() - worked
    memory: Any = compiled.memory_analysis()
    costs = account(compiled.as_text())
    needed = memory.argument_size_in_bytes + memory.temp_size_in_bytes + memory.generated_code_size_in_bytes
    needed += memory.output_size_in_bytes - memory.alias_size_in_bytes
    compute, transfer = costs.flops / chip.flops, costs.main_bytes / chip.bandwidth
    figures = {
        "compile_s": round(seconds, 1),
        "compile_cpu_s": round(worked, 1),
        "program_mb": memory.generated_code_size_in_bytes / 1e6,
        "temporary_gb": memory.temp_size_in_bytes / 1e9,
        "memory_gb": needed / 1e9,
        "fits": needed < chip.memory,
        "tflop": costs.flops / 1e12,
        "main_gb": costs.main_bytes / 1e9,
        "main_gb_an_image": costs.main_bytes / 1e9 / images,
        "on_chip_gb": costs.on_chip_bytes / 1e9,
        "compute_ms": 1e3 * compute,
        "memory_ms": 1e3 * transfer,
        "roofline_ms": 1e3 * max(compute, transfer),
        "bound_on_share_of_peak": compute / max(compute, transfer),
        "compiler_ms": 1e3 * costs.cycles / chip.clock,
        "collectives": costs.collectives,
        "host_transfers": costs.host_transfers,
        "unknown_loops": costs.unknown_loops,
    }
    return figures, costs


def largest(costs: Account, count: int) -> list[dict[str, Any]]:
    """Returns the operations that move the most bytes of main memory, equal ones together."""
    moved: Counter[tuple[str, str, str]] = Counter()
    times: Counter[tuple[str, str, str]] = Counter()
    for one in costs.moved:
        path = one.operation.attribute(r'op_name="([^"]*)"').split("/")
        key = (one.operation.kind, "/".join(path[1:2] + path[-1:]), one.operation.type[:48])
        moved[key] += one.times * one.main
        times[key] += one.times
    rows = moved.most_common(count)
    return [{"gb": size / 1e9, "times": times[key], "operation": " ".join(key)} for key, size in rows if size]


@click.command(cls=UserCommand, help=__doc__)
@click.option("--config", "names", multiple=True, type=click.Choice(list(SHAPES)), help="All if not given.")
@click.option("--topology", multiple=True, default=("v5e:2x4",), show_default=True, help="v5e:1 is one chip.")
@click.option("--program", multiple=True, type=click.Choice(PROGRAMS), help="All if not given.")
@click.option("--images", type=click.IntRange(1), help="A chip and step; by default 64, 32, 32, 16, 16.")
@click.option("--sampled", multiple=True, type=int, default=(1, 64, 256), show_default=True, help="Sampled or coded.")
@click.option("--layers", type=click.IntRange(1), help="Instead of those of the config.")
@click.option("--remat", is_flag=True, help="Compute layers again in the backward pass.")
@click.option("--quick", is_flag=True, help="Only the training step of digits, with two layers.")
def main(
    names: tuple[str, ...],
    topology: tuple[str, ...],
    program: tuple[str, ...],
    images: int | None,
    sampled: tuple[int, ...],
    layers: int | None,
    remat: bool,
    quick: bool,
) -> None:
    changes: dict[str, Any] = {"remat": True} if remat else {}
    if layers or quick:
        changes["layers"] = layers or 2
    rows = []
    print(f"{'on each chip':36}" + "".join(f"{title:>12}" for title in COLUMNS.values()))
    for name in ("digits",) if quick else names or tuple(SHAPES):
        for where in topology:
            mesh = mesh_of(where)
            chip = CHIPS[mesh.devices.flat[0].device_kind]
            for kind in ("train",) if quick else program or PROGRAMS:
                if kind in CODING and integer_model_of(name) == name:
                    continue
                on_all = kind in ("train", "evaluate")
                for count in (images or SHAPES[name][1],) if on_all else sampled:
                    chips = mesh if on_all else data_mesh(mesh.devices.flat[:1])
                    figures, costs = measure(lowered(kind, name, chips, count, **changes), chip, images=count)
                    row = {"config": name, "topology": where, "program": kind, "images": count, **changes, **figures}
                    rows.append(row | {"largest": largest(costs, 5)})
                    print_row(rows[-1])
    print(json.dumps({"benchmark": "tpu", "jax": jax.__version__, "rows": rows}))


def print_row(row: dict[str, Any]) -> None:
    """Prints the figures of a program, its collectives, and the operations that move the most bytes."""
    title = f"{row['config']} {row['topology']} {row['program']} {row['images']}"
    print(f"{title:36}" + "".join(f"{row[column]:12.4g}" for column in COLUMNS))
    for kind, total in row["collectives"].items():
        print(f"  {kind}: {total['count']}, {total['bytes'] / 1e6:.1f} MB")
    for one in row["largest"]:
        print(f"  {one['gb']:7.3f} GB, {one['times']} x {one['operation']}", flush=True)


if __name__ == "__main__":
    main()
