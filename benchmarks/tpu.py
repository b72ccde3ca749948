"""Programs compiled for TPUs without a TPU: compile time, program size, memory.

python -m benchmarks.tpu [--config=digits ...] [--topology=v5e:2x4 ...] [--program=train ...] [--quick]

Needs x86-64 Linux and the extra ``tpu``. Matmul dtype is bfloat16; sampling is for one chip.
"""

import json
import os
import re
import time
from functools import partial
from typing import Any

import click
import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from benchmarks.accelerator import SHAPES, resolved
from experiments.paper import unconditional
from pixelcnn_jax import InputError, sample
from pixelcnn_jax.foundation.devices import AXIS, data_mesh, replicated
from pixelcnn_jax.foundation.user_command import UserCommand
from pixelcnn_jax.training.optimizer import make_optimizer
from pixelcnn_jax.training.step import init_state, train_step

MEMORY = {"TPU v5 lite": 16e9, "TPU v5": 95e9, "TPU v6 lite": 32e9}  # bytes of a chip
IMAGES = {"train": (32,), "evaluate": (32,), "sample": (1, 64, 256)}  # images per chip


def mesh_of(topology: str) -> Mesh:
    """Builds a mesh over the chips of a topology, e.g. "v5e:2x4" or "v5e:1"."""
    os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")  # no TPU metadata server here
    os.environ.setdefault("ALLOW_MULTIPLE_LIBTPU_LOAD", "1")  # the lock guards TPUs; none is used here
    from jax.experimental import topologies

    name = re.sub(":1$", ":2x2", topology)
    try:
        described = topologies.get_topology_desc(platform="tpu", topology_name=name)
    except Exception as error:  # of several types, by what is missing
        raise InputError(
            f"topology {topology} has no compiler here: {str(error).splitlines()[0]} Install the extra tpu."
        ) from None
    return data_mesh(described.devices[: 1 if name != topology else None])


def lowered(program: str, name: str, mesh: Mesh, images: int, **model: Any) -> jax.stages.Lowered:
    config, spec = resolved(name, **model), SHAPES[name]
    experiment = unconditional.make_experiment(config, spec)
    optimizer = make_optimizer(config.optimizer, experiment.networks, steps=config.train.steps)
    whole, split = replicated(mesh), NamedSharding(mesh, PartitionSpec(AXIS))

    def abstract(tree: Any, sharding: NamedSharding = whole) -> Any:
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)

    key = abstract(jax.eval_shape(lambda: jax.random.key(0)))
    state = abstract(jax.eval_shape(partial(init_state, experiment, optimizer), key))
    batch = abstract({"image": jax.ShapeDtypeStruct((images * mesh.size, *spec.shape), jnp.int32)}, split)
    if program == "train":
        options = {"experiment": experiment, "optimizer": optimizer, "ema_decay": config.train.ema_decay}
        step = partial(train_step, **options, microbatch_size=images, mesh=mesh)
        return jax.jit(step, donate_argnames="state", out_shardings=whole).lower(state, batch, key)
    if program == "evaluate":
        loss = jax.jit(experiment.loss, static_argnums=2, out_shardings=whole)
        return loss.lower(state.params, batch, None)
    draw = partial(sample, experiment.networks, shape=(images, spec.height, spec.width))
    return jax.jit(draw).lower(state.params, key)


@click.command(cls=UserCommand, help=__doc__)
@click.option("--config", "names", multiple=True, type=click.Choice(list(SHAPES)), help="All if not given.")
@click.option("--topology", multiple=True, default=("v5e:2x4",), show_default=True, help="v5e:1 is one chip.")
@click.option("--program", "programs", multiple=True, type=click.Choice([*IMAGES]), help="All if not given.")
@click.option("--quick", is_flag=True, help="Only the training step of digits, with two layers.")
def main(names: tuple[str, ...], topology: tuple[str, ...], programs: tuple[str, ...], quick: bool) -> None:
    rows, changes = [], {"layers": 2} if quick else {}
    names, programs = (("digits",), ("train",)) if quick else (names or (*SHAPES,), programs or (*IMAGES,))
    for name, where, program in ((a, b, c) for a in names for b in topology for c in programs):
        mesh = mesh_of(where)
        chips = data_mesh(mesh.devices.flat[:1]) if program == "sample" else mesh
        for count in IMAGES[program]:
            before, began = lowered(program, name, chips, count, **changes), time.process_time()
            compiled = before.compile()
            seconds, memory = time.process_time() - began, compiled.memory_analysis()
            needed = memory.argument_size_in_bytes + memory.temp_size_in_bytes + memory.generated_code_size_in_bytes
            needed += memory.output_size_in_bytes - memory.alias_size_in_bytes
            row = {"config": name, "topology": where, "program": program, "images": count, "compile_cpu_s": seconds}
            row |= {"program_mb": memory.generated_code_size_in_bytes / 1e6, "memory_gb": needed / 1e9}
            row |= {"fits": needed < MEMORY[mesh.devices.flat[0].device_kind]}
            row |= {"all_reduces": len(re.findall(r" all-reduce(?:-start)?\(", compiled.as_text() or ""))}
            print(json.dumps(row), flush=True)
            rows.append(row)
    print(json.dumps({"benchmark": "tpu", "jax": jax.__version__, "rows": rows}))


if __name__ == "__main__":
    main()
